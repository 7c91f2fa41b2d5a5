// Types of what the page takes from signals.mjs (@preact/signals-core 1.14.5).
export interface Signal<T> {
    value: T;
    peek(): T;
    subscribe(listener: (value: T) => void): () => void;
}
export interface ReadonlySignal<T> {
    readonly value: T;
    peek(): T;
    subscribe(listener: (value: T) => void): () => void;
}
export function signal<T>(first: T): Signal<T>;
export function computed<T>(work: () => T): ReadonlySignal<T>;
export function effect(work: () => void): () => void;
export function batch<T>(work: () => T): T;
