// Remedies: what to do about an adapter that is refused, by the code of the refusal.

export const REMEDIES = {
  no_source: "Put the folder there, or correct its path.",
  no_config: "A PEFT checkpoint has an adapter_config.json: copy the whole folder, or the checkpoint below it.",
  no_weights: "Save the adapter with PEFT's save_pretrained: it writes adapter_model.safetensors.",
  missing_file: "Copy the whole folder: adapter_config.json and adapter_model.safetensors.",
  foreign: "Convert it to PEFT's format for this model, or take an adapter that was trained for it.",
  lfs_pointer: "Fetch the file itself: git lfs pull in the repository that it comes from.",
  peft_type: "This type cannot be merged into weights: train a LoRA, or another type that can be.",
  unsupported: "Train it without that setting; no single weight computes what it means.",
  changed_base: "Save it again with PEFT's conversion to a plain LoRA (path_initial_model_for_weight_conversion).",
  bad_config: "Correct the value in adapter_config.json.",
  unknown_setting: "Save it with the PEFT release that this server has, or take the setting out if it says nothing.",
  bad_setting: "Ask for it with other settings.",
  bad_weights: "Copy adapter_model.safetensors again; if it is whole, save it again.",
  missing_tensor: "Save it again from one process; ZeRO-3 leaves tensors empty unless they are gathered.",
  unused_tensor: "Settings and weights are of two different adapters: copy both again.",
  unknown_module: "It was trained for another model: serve it with that one.",
  wrong_shape: "It was trained for another model, or another size of it: serve it with that one.",
  not_linear: "Train it without that module.",
  not_mergeable: "Train it without that module.",
  not_finite: "Its training has diverged: take an earlier checkpoint.",
  zero_effect: "It changes nothing: take a checkpoint that was trained, or a scale that is not 0.",
  merge_loss: "Serve the model in a wider type (dtype = \"float32\"), or raise max_merge_loss.",
  rank_limit: "Raise max_lora_rank, or take an adapter of a lower rank.",
  target_forbidden: "Allow the module in target_modules, or train without it.",
  too_large: "Raise max_bytes, or take a smaller adapter.",
  other_base: "Serve it with the model that it names, or set other_base if you know that both are one.",
  bad_tokenizer: "Correct its tokenizer.json or chat template, or take them out of the folder.",
  bad_sidecar: "Correct its hotswap.toml.",
  unreadable: "It is tried again by itself. See that the server may read the folder and has descriptors left.",
  changing: "It is tried again by itself, when its files rest.",
  source_away: "It is tried again by itself. See that its place answers from here.",
  source_denied: "Let the server's credentials read it, or correct its URL.",
  bad_archive: "Pack it again: plain files at the top of the archive or in one folder.",
  no_library: "Install what reads it: pip install 'hotswap[s3]', or 'hotswap[hub]'.",
  cancelled: "Somebody has ended it: register it again.",
  unexpected: "The server's log says more.",
};

// Of an adapter's row.
export function remedy(row) {
  if (row.refusal) return REMEDIES[row.refusal] ?? "The reason says what was found; mend it, and it is read again.";
  return "Mend what the reason says, then validate and load it again. The server's log says more.";
}
