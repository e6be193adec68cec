import { deepEqual, equal, ok } from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { MAX_SLOTS, slotsOf } from "./slots.ts";

const servers = (...weights: number[]) =>
  weights.map((weight, i) => ({ address: `10.0.0.${i + 1}`, weight, name: `${i + 1}` }));
const names = (...weights: number[]) =>
  slotsOf(servers(...weights))
    .map((s) => s.name)
    .join("");

test("equal weights take turns, weight 0 none, unequal ones are spread evenly", () => {
  equal(names(1, 1, 1), "123");
  equal(names(5, 5), "12");
  equal(names(1, 0, 1), "13");
  equal(names(5, 1, 1), "1121311");
  deepEqual(slotsOf([]), []);
  deepEqual(slotsOf(servers(0, 0)), []);
});

test("every live server has a turn, in proportion to its weight, within the limit", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 65535 }), { maxLength: 50 }), (weights) => {
      const slots = slotsOf(servers(...weights));
      const live = weights.filter((w) => w > 0);
      ok(slots.length <= MAX_SLOTS + live.length);
      equal(new Set(slots).size, live.length);
    }),
  );
});
