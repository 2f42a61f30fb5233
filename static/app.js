"use strict";
/* What plain links and forms cannot do: keys, closing, undo in time, the browser's time zone. */

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const TYPING = "textarea, select, input:not([type=checkbox], [type=radio])";
const TOAST_MS = 10000;

// The server cannot know the browser's time zone before it is told.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
const told = document.cookie.split("; ").find((pair) => pair.startsWith("local_zone="));
if (zone && told !== `local_zone=${encodeURIComponent(zone)}`) {
  const secure = location.protocol === "https:" ? ";secure" : "";
  document.cookie = `local_zone=${encodeURIComponent(zone)};path=/;max-age=31536000;samesite=lax${secure}`;
}

// Where bars scroll sideways, what one is at is seen without scrolling them.
function showCurrent() {
  for (const at of $$(":is(.rail, .views) [aria-current]")) at.scrollIntoView({ block: "nearest", inline: "nearest" });
}
showCurrent();

const rows = () => [...document.querySelectorAll(".list tbody tr")];
const link = (row) => row && $("[data-row-link]", row);
const current = () => document.activeElement.closest(".list tbody tr") || $(".list tr[aria-current=true]");
const panel = () => $("#panel");
const isOpen = () => Boolean(panel() && panel().firstElementChild);

function toast(text) {
  const box = document.createElement("div");
  box.className = "toast warning";
  box.dataset.toast = "";
  box.append(Object.assign(document.createElement("span"), { textContent: text }));
  $("#toasts").append(box);
  expire(box);
}

// A toast goes after 10 s in view, but not from under a pointer or the focus, nor before its own request is answered.
function expire(box) {
  box.dataset.seen = "";
  const leave = () => (box.matches(":hover, :focus-within, [hidden]") || document.hidden ? setTimeout(leave, 1000) : box.remove());
  setTimeout(leave, TOAST_MS);
}

function mark(row) {
  for (const other of rows()) other.toggleAttribute("aria-current", false);
  if (row) row.setAttribute("aria-current", "true");
}

function markOpened() {
  const opened = isOpen() && panel().firstElementChild.id.replace("panel-", "row-");
  mark(opened ? document.getElementById(opened) : null);
}

function close() {
  const row = $(".list tr[aria-current=true]");
  const back = $("[data-close]", panel()).getAttribute("href");
  panel().replaceChildren();
  history.pushState(null, "", back);
  mark(null);
  if (row) link(row).focus();
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  link(next).focus();
  next.scrollIntoView({ block: "nearest" });
  if (isOpen()) follow(next);
}

// With the panel open, it shows the row one moves to; the address follows, the history does not grow.
let following;
function follow(row) {
  clearTimeout(following);
  following = setTimeout(() => {
    const to = link(row);
    htmx.ajax("GET", to.getAttribute("href"), { source: panel(), target: "#panel", swap: "innerHTML" }).then(() => {
      history.replaceState(history.state, "", to.getAttribute("hx-push-url"));
      markOpened();
    });
  }, 120);
}

// The selection outlives every swap of the table: what the table does not show goes along in hidden fields.
const picked = new Set();
const boxes = () => [...document.querySelectorAll(".list [name=picked]")];
let anchor = "";

function showPicked() {
  if (!$("#bulk")) return;
  const shown = boxes();
  for (const box of shown) box.checked = picked.has(box.value);
  const away = [...picked].filter((value) => !shown.some((box) => box.value === value));
  const fields = away.map((value) => Object.assign(document.createElement("input"), { type: "hidden", name: "picked", value }));
  $("#away").replaceChildren(away.length ? `(${away.length} not shown here)` : "", ...fields);
  $("#picked").textContent = `${picked.size} selected`;
  const all = $("#pick-shown");
  if (!all) return;
  all.checked = shown.length > 0 && shown.every((box) => box.checked);
  all.indeterminate = !all.checked && shown.some((box) => box.checked);
}

// With Shift, all from the one picked last to this one.
function pick(box, on, ranged) {
  const shown = boxes();
  const from = ranged ? shown.findIndex((other) => other.value === anchor) : -1;
  const ends = [from < 0 ? shown.indexOf(box) : from, shown.indexOf(box)];
  for (const one of shown.slice(Math.min(...ends), Math.max(...ends) + 1)) picked[on ? "add" : "delete"](one.value);
  anchor = box.value;
  showPicked();
}

function pickShown(on) {
  for (const box of boxes()) picked[on ? "add" : "delete"](box.value);
  showPicked();
}

function pickCurrent(ranged) {
  const box = $("[name=picked]", current() ?? document.createElement("tr"));
  if (box) pick(box, ranged || !box.checked, ranged);
  else toast($("#bulk") ? "Choose a row first (j)." : "Selecting takes the role reviewer.");
}

function clearPicked() {
  picked.clear();
  showPicked();
}

// A key presses what carries it: of what was just done first, then of the selection, of the row one is at, of the panel.
// What only the panel has is pressed once it shows that row.
let awaited = "";
function press(key) {
  const row = document.activeElement.closest(".list tbody tr");
  const opened = isOpen() ? panel() : $(".sheet .panel");
  const isSame = row && isOpen() && row.id.replace("row-", "panel-") === panel().firstElementChild.id;
  const places = row && !isSame ? [row] : [opened, current()].filter(Boolean);
  const all = (place) => [...place.querySelectorAll(`[data-key=${key}]`)];
  const toasted = key === "u" ? all($("#toasts")).slice(-1) : [];
  const button = [...toasted, ...(picked.size ? all($("#bulk")) : []), ...places.flatMap(all)][0];
  if (button) use(button);
  else if (row && !isSame && ["r", "s", "i", "b", "u"].includes(key) && (key !== "u" || row.dataset.whose === me)) {
    awaited = key;
    link(row).click();
  } else toast(whyNot(key, places));
}

// A form that a key opens has the focus inside.
function use(button) {
  button.click();
  if (!button.matches("summary")) return;
  button.parentElement.open = true;
  $(":is(input, textarea):not([type=hidden])", button.nextElementSibling).focus();
}

const me = document.body.dataset.user;
function whyNot(key, places) {
  if (!$("#keys [data-can-review]")) return "Deciding takes the role reviewer.";
  if (!places.length) return "Choose a row first (j).";
  if (picked.size && key !== "u") return "That cannot be done to several at once.";
  const decided = places.map((place) => (place.matches("[data-whose]") ? place : $("[data-whose]", place))).find(Boolean);
  if (!decided) return key === "u" ? "It is open: there is nothing to undo." : "It cannot be done to this anomaly as it is.";
  const whose = decided.dataset.whose ? ` by ${decided.dataset.whose}` : "";
  return `This anomaly was decided${whose}${key === "u" ? "; u undoes only what you did yourself, within a day" : ""}.`;
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: () => pickCurrent(false),
  X: () => pickCurrent(true),
  ...Object.fromEntries([..."arsibu"].map((key) => [key, () => press(key)])),
  "/": () => $("#search")?.focus(),
  "?": () => $("#keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("dialog[open]")) return;
  if (event.key === "Escape") {
    const menu = $("details.menu[open]");
    if (menu) {
      menu.open = false;
      $("summary", menu).focus();
    } else if (event.target.matches("input, textarea, select")) event.target.blur();
    else if (isOpen()) close();
    else clearPicked();
    return;
  }
  // In an open form a digit chooses, and every other key is its own.
  const choice = event.target.closest(".pop") && $$("[type=radio]", event.target.form ?? event.target)[event.key - 1];
  if (choice && !event.target.matches(TYPING)) choice.click();
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
  if (event.key === "Enter" && event.target === document.body && current()) link(current()).click();
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

document.addEventListener("click", (event) => {
  const { target } = event;
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  if (target.matches("[name=picked]")) pick(target, target.checked, event.shiftKey);
  if (target.id === "pick-shown") pickShown(target.checked);
  if (target.closest("[data-pick-shown]")) pickShown(true); // where the table has no head
  if (target.closest("[data-clear]")) clearPicked();
  if (target.closest("[data-open-keys]")) $("#keys").showModal();
  if (target.closest("[data-dismiss]")) target.closest("[data-toast]").remove();
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (panel() && panel().contains(target) && target.closest("[data-close]")) {
    event.preventDefault();
    close();
  }
  // The whole row opens the details, and so does its recommendation; text that is being selected stays selected.
  const row = target.closest(".list tbody tr");
  if (row && !target.closest("[data-row-link], button, .pick, .who a") && !String(getSelection())) {
    event.preventDefault();
    link(row).click();
  }
});

// Which parts of the page an action may change: only those are sent back.
document.addEventListener("htmx:configRequest", ({ detail, target }) => {
  const id = target.closest("[data-anomaly]")?.dataset.anomaly;
  const many = target.closest("[data-shown]") && $$(".list tbody tr, .panel").map((one) => one.id);
  const present = [...(many || [`row-${id}`, `panel-${id}`]), "views"].filter((name) => document.getElementById(name));
  if (id || many) detail.headers["X-Present"] = present.join();
  if (target.closest("#toasts")) target.closest("[data-toast]").hidden = true;
  for (const menu of $$("#bulk details[open]")) menu.open = false;
});

// What was selected has changed: nothing stays selected, and the note was for them.
document.addEventListener("done:bulk", () => {
  clearPicked();
  $("#bulk").reset();
});

document.addEventListener("htmx:afterRequest", ({ target }) => target.closest("[data-toast][hidden]")?.remove());

// The options under the pointer or the focus stay as they are: their own filter does not change their counts.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target } = event.detail;
  if (target.matches("[id^=menu-], select") && target.contains(document.activeElement)) event.detail.shouldSwap = false;
});

// What is being typed elsewhere in the panel outlives that an action brings it anew.
let sent = null;
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  sent = detail.elt.closest("form");
});
document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
  if (!detail.target.matches(".panel")) return;
  for (const menu of $$("details.menu[open]", detail.target)) menu.open = false; // only one of a name can be open
  for (const field of $$("textarea, input.note", detail.target)) {
    const same = field.form !== sent && $(field.id ? `#${field.id}` : "input.note", detail.fragment);
    if (same && field.value) same.value = field.value;
  }
});

// What it is at is seen again where the bar came anew, or has less room.
document.addEventListener("htmx:oobAfterSwap", ({ detail }) => detail.target.id === "views" && showCurrent());
// News are asked for again and again, and take room when there first are any; the target is what was there before.
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
  if (target.id === "news" && !target.firstElementChild && $("#news a")) showCurrent();
});

// Back, forward and a reload bring a list again as far down as it was, whatever is open beside it; a visit begins at its top.
const scrolled = (at = location.href) => {
  const list = new URL(at);
  list.searchParams.delete("open");
  return `scrolled ${list.pathname}${list.search}`;
};
const reached = new Map();
const stored = (work) => {
  try {
    return work(sessionStorage);
  } catch {
    return null; // a browser that keeps nothing refuses even to be asked, one without room to keep more
  }
};
const forget = (list) => {
  reached.delete(list);
  stored((places) => places.removeItem(list));
};
document.addEventListener("scroll", ({ target }) => {
  if (target === $(".scroll")) reached.set(scrolled(), target.scrollTop);
}, true);
addEventListener("pagehide", () => stored((places) => reached.forEach((top, list) => places.setItem(list, top))));
if (performance.getEntriesByType("navigation")[0]?.type === "navigate") forget(scrolled());
else if ($(".scroll")) $(".scroll").scrollTop = stored((places) => places.getItem(scrolled()));

let wasIn = null;
let place = {};
document.addEventListener("htmx:beforeSwap", () => {
  place = { at: location.href, top: $(".scroll")?.scrollTop };
  wasIn = document.activeElement.closest("[id^=row-], [id^=panel-], #sorting")?.id ?? null;
});

document.addEventListener("htmx:afterSettle", ({ detail }) => {
  for (const box of document.querySelectorAll("[data-toast]:not([data-seen])")) expire(box);
  if (detail.target.id === "panel") {
    markOpened();
    showCurrent(); // the list is narrower now
    panel().scrollTop = 0;
    if (!document.activeElement.closest(".list") || innerWidth <= 860) $("h2", panel())?.focus();
    if (awaited) press(awaited);
    awaited = "";
  }
  if (detail.target.id === "results") {
    const address = new URL(detail.xhr.getResponseHeader("HX-Push-Url") ?? location.href, location.href);
    // A table that is only refreshed stays where it was scrolled to.
    if (address.href === place.at && $(".scroll")) $(".scroll").scrollTop = place.top;
    if (address.href !== place.at) {
      showCurrent();
      forget(scrolled(address));
    }
    $("#search").value = address.searchParams.get("q") ?? "";
    markOpened();
  }
  // What had the focus was replaced: it goes to the same place of what came.
  if (wasIn && document.activeElement === document.body) {
    const again = document.getElementById(wasIn);
    if (again) (link(again) || $("h2, summary", again))?.focus({ preventScroll: true });
  }
  if (wasIn) markOpened();
  wasIn = null;
  showPicked();
});

$("#filters")?.addEventListener("change", ({ target }) => {
  if (target.name === "unit") $("#last").placeholder = target.selectedOptions[0].dataset.example;
});
$("#filters")?.addEventListener("submit", () => {
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
});

// What asks by itself every 20 s fails in silence: the next try may do.
document.addEventListener("htmx:sendError", ({ detail }) => {
  if (detail.elt.id !== "news") toast("The server cannot be reached; nothing was changed.");
});
document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.elt.id === "news") return;
  const words = { 403: "Nothing was changed: you may not do this, or signed in anew since this page was made. Keep what you typed and reload.", 404: "That is not there any more." };
  toast(words[detail.xhr.status] ?? "Something broke on our side; nothing may have been changed.");
});

for (const box of document.querySelectorAll("[data-toast]")) expire(box);
for (const box of boxes()) if (box.checked) picked.add(box.value); // as the browser restored them
showPicked();
markOpened();
$(".list tr[aria-current=true]")?.scrollIntoView({ block: "nearest" });
