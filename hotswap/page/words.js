// Words: the scheduler's reasons and the server's states in plain language.

const number = (text) => Number(text).toLocaleString("en");

// Before a cost was learned everything is free: a rate has no meaning then.

const REASONS = [
  [/(?:merged|mixed|not) \d{9,}/, () => "What it costs is not known yet; it is tried."],
  [/^merged (\d+) tokens\/s, mixed 0$/,
    (m) => `Merged it makes ${number(m[1])} tokens a second; a mixed step would serve nobody now.`],
  [/^merged (\d+) tokens\/s, mixed (\d+)$/,
    (m) => `Merged it makes ${number(m[1])} tokens a second, mixed everybody together ${number(m[2])}.`],
  [/^mixed (\d+) tokens\/s, not 0$/,
    (m) => `Mixed, all make ${number(m[1])} tokens a second; no adapter is worth a merge now.`],
  [/^mixed (\d+) tokens\/s, not (\d+)$/,
    (m) => `Mixed, all make ${number(m[1])} tokens a second; the best single adapter merged would make ${number(m[2])}.`],
  [/: its patience is over$/, () => "Someone has waited too long for a first token and comes first."],
  [/: a newcomer$/, () => "A newcomer gets the first token at once; the turn goes on after this step."],
  [/: its streams must go on$/, () => "Answers that have begun must not stall; the turn goes on after this step."],
  [/^the streams|^streams/, () => "Answers that have begun must not stall."],
  [/^always mixed$/, () => "The policy mixes always."],
  [/^oldest job first, merged only$/, () => "The oldest job comes first, and it runs merged only."],
  [/^oldest job first, not to be merged$/, () => "The oldest job comes first, and it must not be merged."],
  [/^oldest job first$/, () => "The oldest job comes first."],
  [/^longest queue/, () => "The longest queue comes first."],
  [/^not drained yet$/, () => "Its queue is not empty yet."],
];

const BUILDING = /^merged (\d+) tokens\/s, mixed (\d+)$/;

// Of a turn, or of what looks like one. A mixed turn with the reason of a merged one
// waits until the weights are built, between its steps.
export function plainReason({ why, mode }) {
  const built = mode === "mixed" && BUILDING.exec(why);
  if (built && built[1].length < 9)
    return `Mixed until the weights of one adapter are merged beside: with them ${number(built[1])} tokens a second, mixed ${number(built[2])}.`;
  for (const [pattern, said] of REASONS) {
    const match = pattern.exec(why);
    if (match) return said(match);
  }
  return why;
}

export const MODES = { merged: "Merged", mixed: "Mixed" };

const PLACES = {
  resident: "merged, computing now",
  slot: "merged in a slot",
  stack: "in the stacks of mixed steps",
  host: "host memory",
  disk: "disk",
};

export const place = (residency) => PLACES[residency] ?? residency;

export function runs(row) {
  if (row.can_merge === null || row.can_mix === null) return "unknown yet";
  if (row.can_merge && row.can_mix) return "merged and mixed";
  return row.can_merge ? "merged only" : "mixed only";
}

// The rows of `costs` in /v1/status, in seconds.
export const COSTS = {
  merged_step_1_s: "A merged step for 1 job",
  merged_step_16_s: "A merged step for 16 jobs",
  mixed_step_1_s: "A mixed step for 1 job",
  mixed_step_16_s: "A mixed step for 16 jobs of 4 adapters",
  merged_prefill_token_s: "A prompt token, merged",
  mixed_prefill_token_s: "A prompt token, mixed",
  swap_warm_s: "A swap to weights that are held",
  swap_cold_s: "A swap that has to merge first, rank 16",
};
