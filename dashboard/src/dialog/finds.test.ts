import { expect, test } from "vitest";
import { findsFor, looksLikeId } from "./finds";
import { MENU_PAGES } from "../shell/pages";

const known = { pages: MENU_PAGES, repositories: ["octo-org/api", "octo-org/web"], events: ["push", "issues"] };

test("an id opens its delivery first, anything else is looked for in names", () => {
  const id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
  expect(findsFor(id, known)[0]).toMatchObject({ title: id, address: `/dashboard/deliveries/${id}` });
  expect(findsFor("octo", known).map(({ title }) => title).slice(0, 2)).toEqual(["octo-org/api", "octo-org/web"]);
  expect(findsFor("fail", known)[0]?.title).toBe("Failed");
  expect(findsFor("", known)).toHaveLength(MENU_PAGES.length);
});

test("ids look like ids", () => {
  expect(["72d3162e-cc78", "github.41.72d3162e", "push", "octo-org/api"].map(looksLikeId)).toEqual([true, true, false, false]);
});
