// Types of what the page takes from preact.mjs (htm 3.1.1 with Preact, its hooks included).
export function html(strings: TemplateStringsArray, ...values: any[]): any;
export function render(tree: any, place: Element): void;
export function useState<T>(first: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
export function useEffect(work: () => void | (() => void), when?: readonly unknown[]): void;
export function useLayoutEffect(work: () => void | (() => void), when?: readonly unknown[]): void;
export function useMemo<T>(make: () => T, when: readonly unknown[]): T;
export function useRef<T>(first: T): { current: T };
