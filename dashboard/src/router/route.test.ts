import { expect, test } from "vitest";
import { pathOf, routeOf } from "./route";

test("a page and its address are the same thing", () => {
  for (const [page, subject] of [["overview", ""], ["stream", ""], ["delivery", "github.41.x/y z"], ["repository", "group/sub/project"], ["projections", ""]] as const) {
    expect(routeOf(pathOf(page, subject))).toEqual({ page, subject });
  }
});

test("what is no page is none", () => {
  for (const path of ["/dashboard/nothing", "/dashboard/stream/x", "/dashboard/deliveries"]) expect(routeOf(path).page).toBe("missing");
  expect(routeOf("/dashboard").page).toBe("overview");
  expect(routeOf("/dashboard/deliveries/%E0%A4%A").page).toBe("delivery");
});
