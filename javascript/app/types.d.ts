// Shapes of the HTTP API's answers, for the type checker alone; no browser reads this file.
export interface Job {
    id: number;
    title: string;
    workspace: string;
    word: string;
    state: "waiting" | "running" | "done" | "failed" | "cancelled" | "paused";
    stage: string;
    done: number;
    total: number;
    fraction: number;
    message: string;
    values: Record<string, number>;
    pictures: string[];
    seconds: number;
    eta: number | null;
    error: string | null;
}
export interface Change {
    kind: string;
    name: string;
    was: string;
    now: string;
}
export interface Step {
    name: string;
    state: string;
    stages: Record<string, string>;
    needs: string;
    because: Change[];
    after: string[];
}
export interface Recommendation {
    name: string;
    epoch: number;
    strength: number;
    preset: string;
    reason: string;
    confidence: number | null;
    prompt: string | null;
}
export interface Glance {
    workspace: string;
    steps: Step[];
    settings: Record<string, any>;
    by_hand: string[];
    revision: Record<string, string>;
    training_preset: { name: string; whose: string; why: string; note: string };
    original: string | null;
    prepared: string | null;
    mask: string | null;
    coverage: string | null;
    sheet: string | null;
    page: string | null;
    loras: Record<string, string>;
    recommendation: Recommendation | null;
    inpaint_mask: string | null;
    exam: string | null;
    inpainted: string[];
    accepted: string[];
    generated: string[];
    crop_notes: string[];
    train_notes: string[];
    next_version: string;
    version: number;
}
export interface Crop {
    name: string;
    file: string;
    box?: [number, number, number, number];
    pixels?: [number, number];
    bucket?: [number, number];
    enlarged?: number;
    confidence?: number;
    symmetry?: { flip: boolean; sentence: string; differs: string[] };
}
export interface Dataset {
    artifacts: { name: string; kind: string; sentence: string; cleaned: boolean; box?: [number, number, number, number] }[];
    substeps: { name: string; file: string; box: [number, number, number, number] }[];
    crops: Crop[];
    symmetry: { sentence: string } | null;
    repeats: number | null;
    traits: { tag: string; category: string; seen: number; visible: number; reason: string; left_out: boolean }[];
    captions: Record<string, { text: string; tokens: number; beyond: string }>;
    tags: Record<string, number>;
    limit: number;
    undoable: number;
    unreadable: string[];
    regularization: { name: string; file: string; kept: boolean; reasons: string[]; by: string; prompt: string }[];
    notes: Record<string, string[]>;
}
export interface Declaration {
    name: string;
    label: string;
    help: string;
    default: any;
    low: number | null;
    high: number | null;
    choices: string[];
    unit: string;
    path: string;
    kind: string;
    open: boolean;
    group: string;
}
export interface StageForecast {
    stage: string;
    does: string;
    pictures: number | null;
    steps: number | null;
    seconds: number | null;
}
export interface Forecast {
    stages: StageForecast[];
    seconds: number;
    seconds_known: boolean;
    preset: { name: string; why: string };
}
