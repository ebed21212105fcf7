// The pages of the menu: what they are called, where they stand, and the letter that follows `g`.
import type { PageName } from "../router/route";
import type { IconName } from "../ui/icons";

export interface MenuPage {
  page: PageName;
  title: string;
  icon: IconName;
  key: string;
  /** Only for those who may do more than look. */
  needs?: "admin";
}

export const MENU: { title: string; pages: MenuPage[] }[] = [
  {
    title: "Watch",
    pages: [
      { page: "overview", title: "Overview", icon: "overview", key: "o" },
      { page: "stream", title: "Stream", icon: "stream", key: "s" },
      { page: "failed", title: "Failed", icon: "failed", key: "f" },
      { page: "rejected", title: "Rejected", icon: "rejected", key: "x" },
    ],
  },
  {
    title: "Understand",
    pages: [
      { page: "repositories", title: "Repositories", icon: "repositories", key: "r" },
      { page: "jobs", title: "Jobs", icon: "jobs", key: "j" },
      { page: "security", title: "Security", icon: "security", key: "e" },
    ],
  },
  {
    title: "Operate",
    pages: [
      { page: "replays", title: "Replays", icon: "replays", key: "y" },
      { page: "sources", title: "Sources", icon: "sources", key: "u" },
      { page: "projections", title: "Projections", icon: "projections", key: "p" },
    ],
  },
  {
    title: "Access",
    pages: [
      { page: "keys", title: "Keys", icon: "key", key: "k", needs: "admin" },
      { page: "audit", title: "Audit trail", icon: "audit", key: "a", needs: "admin" },
    ],
  },
];

export const MENU_PAGES: MenuPage[] = MENU.flatMap((group) => group.pages);
