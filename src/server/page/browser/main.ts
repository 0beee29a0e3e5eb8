/** The page: one conversation shown, others in the list, any of them being answered. */
import { AnswerView } from "./answer.ts";
import { Asking } from "./asking.ts";
import { ChatList } from "./chats.ts";
import { Composer } from "./composer.ts";
import { byId } from "./element.ts";
import { bindKeys } from "./keys.ts";
import { ModelChoice } from "./models.ts";
import { Scroll } from "./scroll.ts";
import { SettingsDrawer } from "./settings.ts";
import { speak } from "./speak.ts";
import { keepConversation, listConversations, readConversation, watchConversations } from "./store.ts";
import { addTurn, besides, type Conversation, choose, makeConversation, pathOf, type Turn } from "./tree.ts";
import { PathView } from "./view.ts";

let current: Conversation = makeConversation({});
/** Answers on their way, by the id of their conversation. */
const askings = new Map<string, Asking>();
/** Deleted ones, by id: an answer that still ends is not kept. */
const deleted = new Set<string>();
/** Milliseconds between two times that an answer on its way is kept. */
const KEEP = 3000;

const say = (text: string) => speak(byId("spoken"), text);
const scroll = new Scroll(byId("log"), byId("to-end"));
const models = new ModelChoice(draw);
const composer = new Composer(send, () => askings.get(current.id)?.stop());
const drawer = new SettingsDrawer(
  (settings) => {
    current.settings = settings;
    keep(current);
  },
  () => models.load(),
);
const view = new PathView(byId("turns"), {
  busy: () => askings.has(current.id),
  besides: (turn) => besides(current, turn),
  show: showBranch,
  revise(turn, text) {
    ask(addTurn(current, turn.parent, "user", text));
  },
  again: (turn) => ask(questionOf(turn), turn),
  help,
  say,
});
const list = new ChatList({
  open,
  begin,
  busy: ({ id }) => askings.has(id),
  gone(conversation) {
    deleted.add(conversation.id);
    askings.get(conversation.id)?.stop();
    if (conversation.id === current.id) show(makeConversation(current.settings));
  },
});

/** Shows the current conversation as it is by now. */
function draw(): void {
  view.show(current);
  const empty = current.turns.length === 0;
  byId("empty").hidden = !empty;
  const last = pathOf(current).findLast(({ figures }) => figures?.prompt !== undefined);
  composer.show(askings.has(current.id), last?.figures, models.current?.context);
  list.draw(current);
  scroll.follow();
}

function show(conversation: Conversation): void {
  current = conversation;
  byId("chat-note").textContent = "";
  drawer.fill(conversation.settings);
  draw();
  scroll.toEnd();
}

/** Keeps a conversation, and says what had to go for it. One that was deleted meanwhile stays so. */
function keep(conversation: Conversation): void {
  if (deleted.has(conversation.id)) return;
  const { gone, kept } = keepConversation(conversation);
  const words = [];
  if (gone.length > 0)
    words.push(`The oldest ${gone.length === 1 ? "chat" : `${gone.length} chats`} had to go: the list is full.`);
  if (!kept) words.push("This chat is too long to be kept in this browser: export it before you leave.");
  if (words.length > 0) byId("chat-note").textContent = words.join(" ");
}

function begin(): void {
  list.toggle(false);
  show(makeConversation(current.settings));
  composer.focus();
}

function open(conversation: Conversation): void {
  deleted.delete(conversation.id);
  list.toggle(false);
  list.forget();
  // One that is being answered is another object than what is kept of it.
  show(askings.get(conversation.id)?.conversation ?? conversation);
}

function send(text: string): void {
  ask(addTurn(current, pathOf(current).at(-1)?.id ?? null, "user", text));
}

const questionOf = (answer: Turn) => current.turns.find(({ id }) => id === answer.parent)!;

/** Asks for an answer to a question; one that failed before it said anything makes room for the new one. */
function ask(question: Turn, before?: Turn): void {
  if (askings.has(current.id)) return;
  const conversation = current;
  if (before?.problem && !before.text) conversation.turns.splice(conversation.turns.indexOf(before), 1);
  const turn = addTurn(conversation, question.id, "assistant", "");
  let kept = performance.now();
  const asking = new Asking(conversation, turn, models.current?.id ?? "", {
    draw(phase) {
      const shown = view.find(turn);
      if (conversation === current && shown instanceof AnswerView) {
        shown.draw(phase);
        composer.showRate(turn.figures?.rate);
        scroll.follow();
      }
      if (performance.now() - kept < KEEP) return;
      keep(conversation);
      kept = performance.now();
    },
    end() {
      askings.delete(conversation.id);
      keep(conversation);
      if (conversation === current) say(turn.problem ? turn.problem.title : "The answer is complete.");
      draw();
      if (models.current?.context === undefined) void models.load();
    },
  });
  askings.set(conversation.id, asking);
  keep(conversation);
  say("Waiting for the answer.");
  draw();
  const shown = view.find(turn);
  if (shown instanceof AnswerView) shown.draw(asking.phase);
  scroll.toEnd();
  composer.focus();
}

/** Shows the branch of a turn; the arrow that was pressed is where it was. */
function showBranch(turn: Turn): void {
  const step = (document.activeElement as HTMLElement | null)?.dataset.step;
  choose(current, turn);
  keep(current);
  draw();
  view.find(turn)?.element.querySelector<HTMLElement>(`[data-step="${step}"]`)?.focus();
}

/** Does what the button beside a problem says. */
function help(turn: Turn): void {
  const act = turn.problem?.act;
  if (act === "key") drawer.open("key");
  else if (act === "settings") drawer.open();
  else if (act === "new") begin();
  else ask(questionOf(turn), turn);
}

bindKeys({
  begin,
  focus: () => composer.focus(),
  stop: () => (list.opened ? list.toggle(false) : askings.get(current.id)?.stop()),
  edit: () => composer.empty && view.lastQuestion?.edit(),
});
watchConversations((id) => {
  const changed = readConversation(id);
  if (id === current.id && changed && !askings.has(id)) current = changed;
  draw();
});
// What was written by then is kept when the page goes.
addEventListener("pagehide", () => {
  for (const { conversation } of askings.values()) keep(conversation);
});
show(listConversations()[0] ?? current);
composer.focus();
void models.load().finally(() => {
  // For those who wait for it, as tests do.
  document.documentElement.dataset.ready = "";
});
