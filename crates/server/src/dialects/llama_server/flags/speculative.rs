//! Options of drafts. A draft changes how fast a text comes, never the text.

use super::{Effect, Row, pair, plain, takes};

const NO_DRAFTS: Effect = Effect::Nothing("tokens are not drafted; the text is the same");

pub(super) const ROWS: &[Row] = &[
    takes(
        &["--spec-draft-type-k", "-ctkd", "--cache-type-k-draft"],
        "SPEC_DRAFT_CACHE_TYPE_K",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-type-v", "-ctvd", "--cache-type-v-draft"],
        "SPEC_DRAFT_CACHE_TYPE_V",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-hf", "-hfd", "-hfrd", "--hf-repo-draft"],
        "SPEC_DRAFT_HF_REPO",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-threads", "-td", "--threads-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &[
            "--spec-draft-threads-batch",
            "-tbd",
            "--threads-batch-draft",
        ],
        "",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-cpu-mask", "-Cd", "--cpu-mask-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-cpu-range", "-Crd", "--cpu-range-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-cpu-strict", "--cpu-strict-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(&["--spec-draft-prio", "--prio-draft"], "", NO_DRAFTS),
    takes(&["--spec-draft-poll", "--poll-draft"], "", NO_DRAFTS),
    takes(
        &[
            "--spec-draft-cpu-mask-batch",
            "-Cbd",
            "--cpu-mask-batch-draft",
        ],
        "",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-cpu-strict-batch", "--cpu-strict-batch-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-prio-batch", "--prio-batch-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-poll-batch", "--poll-batch-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &[
            "--spec-draft-override-tensor",
            "-otd",
            "--override-tensor-draft",
        ],
        "",
        NO_DRAFTS,
    ),
    plain(
        &["--spec-draft-cpu-moe", "-cmoed", "--cpu-moe-draft"],
        "SPEC_DRAFT_CPU_MOE",
        NO_DRAFTS,
    ),
    takes(
        &[
            "--spec-draft-n-cpu-moe",
            "--spec-draft-ncmoe",
            "-ncmoed",
            "--n-cpu-moe-draft",
        ],
        "SPEC_DRAFT_N_CPU_MOE",
        NO_DRAFTS,
    ),
    takes(&["--spec-draft-n-max"], "SPEC_DRAFT_N_MAX", NO_DRAFTS),
    takes(&["--spec-draft-n-min"], "SPEC_DRAFT_N_MIN", NO_DRAFTS),
    takes(&["--spec-synth-len"], "SPEC_SYNTH_LEN", NO_DRAFTS),
    takes(&["--spec-synth-rates"], "SPEC_SYNTH_RATES", NO_DRAFTS),
    takes(
        &["--spec-draft-p-split", "--draft-p-split"],
        "SPEC_DRAFT_P_SPLIT",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-p-min", "--draft-p-min"],
        "SPEC_DRAFT_P_MIN",
        NO_DRAFTS,
    ),
    pair(
        &["--spec-draft-backend-sampling"],
        &["--no-spec-draft-backend-sampling"],
        "SPEC_DRAFT_BACKEND_SAMPLING",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-device", "-devd", "--device-draft"],
        "",
        NO_DRAFTS,
    ),
    takes(
        &[
            "--spec-draft-ngl",
            "-ngld",
            "--gpu-layers-draft",
            "--n-gpu-layers-draft",
        ],
        "N_GPU_LAYERS_DRAFT",
        NO_DRAFTS,
    ),
    takes(
        &["--spec-draft-model", "-md", "--model-draft"],
        "SPEC_DRAFT_MODEL",
        NO_DRAFTS,
    ),
    takes(&["--spec-type"], "SPEC_TYPE", NO_DRAFTS),
    takes(&["--spec-ngram-mod-n-min"], "", NO_DRAFTS),
    takes(&["--spec-ngram-mod-n-max"], "", NO_DRAFTS),
    takes(&["--spec-ngram-mod-n-match"], "", NO_DRAFTS),
    takes(&["--spec-ngram-simple-size-n"], "", NO_DRAFTS),
    takes(&["--spec-ngram-simple-size-m"], "", NO_DRAFTS),
    takes(&["--spec-ngram-simple-min-hits"], "", NO_DRAFTS),
    takes(&["--spec-ngram-map-k-size-n"], "", NO_DRAFTS),
    takes(&["--spec-ngram-map-k-size-m"], "", NO_DRAFTS),
    takes(&["--spec-ngram-map-k-min-hits"], "", NO_DRAFTS),
    takes(&["--spec-ngram-map-k4v-size-n"], "", NO_DRAFTS),
    takes(&["--spec-ngram-map-k4v-size-m"], "", NO_DRAFTS),
    takes(&["--spec-ngram-map-k4v-min-hits"], "", NO_DRAFTS),
    takes(
        &["--draft", "--draft-n", "--draft-max"],
        "DRAFT_MAX",
        Effect::Refused("it was removed: write --spec-draft-n-max"),
    ),
    takes(
        &["--draft-min", "--draft-n-min"],
        "DRAFT_MIN",
        Effect::Refused("it was removed: write --spec-draft-n-min"),
    ),
    takes(
        &["--spec-ngram-size-n"],
        "",
        Effect::Refused("it was removed: write --spec-ngram-simple-size-n or the like"),
    ),
    takes(
        &["--spec-ngram-size-m"],
        "",
        Effect::Refused("it was removed: write --spec-ngram-simple-size-m or the like"),
    ),
    takes(
        &["--spec-ngram-min-hits"],
        "",
        Effect::Refused("it was removed: write --spec-ngram-simple-min-hits or the like"),
    ),
    takes(&["-lcs", "--lookup-cache-static"], "", NO_DRAFTS),
    takes(&["-lcd", "--lookup-cache-dynamic"], "", NO_DRAFTS),
    plain(&["--spec-default"], "", NO_DRAFTS),
];
