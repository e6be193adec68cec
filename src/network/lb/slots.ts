// Weights as turns: which server takes the n-th connection of a round. Pure.
import type { RealServer } from "./driver.ts";

/** Turns in a round at most; weights that would need more are scaled down, each keeping at least one turn. */
export const MAX_SLOTS = 1024;

/**
 * The servers of one round, each as often as its weight says and spread evenly (smooth weighted round robin, as nginx does it).
 * Equal weights give each server once, in the order given. Servers of weight 0 are left out.
 */
export function slotsOf(servers: readonly RealServer[]): RealServer[] {
  const live = servers.filter((s) => s.weight > 0);
  const weights = scaled(live.map((s) => Math.max(1, Math.round(s.weight))));
  const total = weights.reduce((a, b) => a + b, 0);
  const credit = weights.map(() => 0);
  const slots: RealServer[] = [];
  for (let n = 0; n < total; n++) {
    let best = 0;
    for (let i = 0; i < live.length; i++) {
      credit[i]! += weights[i]!;
      if (credit[i]! > credit[best]!) best = i;
    }
    credit[best]! -= total;
    slots.push(live[best]!);
  }
  return slots;
}

function scaled(weights: readonly number[]): number[] {
  const divisor = weights.reduce(gcd, 0) || 1;
  const small = weights.map((w) => w / divisor);
  const total = small.reduce((a, b) => a + b, 0);
  if (total <= MAX_SLOTS) return small;
  return small.map((w) => Math.max(1, Math.floor((w * MAX_SLOTS) / total)));
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
