//! Options of all of llama.cpp's programs.

use std::path::PathBuf;

use super::given::{Given, switch};
use super::settings::{Info, Source};
use super::{Effect, Flags, Row, pair, plain, takes};

use Effect::{Do, Nothing, Refused};

const BY_ITSELF: Effect = Nothing("this is chosen by itself");
const NO_DEVICE: Effect = Nothing("where the model computes is chosen by itself");
const SAME_CACHE: Effect = Nothing("the cache has the precision of the engine");
const ROPE: Effect = Refused("positions are those of the model: change its metadata");
const ADAPTER: Effect =
    Refused("make a model with the adapter first: `hearth create` with ADAPTER in a Modelfile");
const STEERING: Effect = Refused("models are not steered by vectors");

const fn info(
    info: fn(&mut Flags, &Given) -> Result<(), String>,
    names: &'static [&'static str],
) -> Row {
    plain(names, "", Do(info))
}

macro_rules! inform {
    ($info:ident) => {
        |flags, _| {
            flags.info = Some(Info::$info);
            Ok(())
        }
    };
}

pub(super) const ROWS: &[Row] = &[
    info(inform!(Help), &["-h", "--help", "--usage"]),
    info(inform!(Version), &["--version"]),
    info(inform!(Models), &["-cl", "--cache-list"]),
    info(inform!(Completions), &["--completion-bash"]),
    info(inform!(Devices), &["--list-devices"]),
    takes(
        &["-t", "--threads"],
        "THREADS",
        Do(|flags, given| {
            flags.threads = given.count()?.filter(|it| *it > 0);
            Ok(())
        }),
    ),
    takes(
        &["-tb", "--threads-batch"],
        "",
        Do(|flags, given| {
            flags.threads_batch = given.count()?.filter(|it| *it > 0);
            Ok(())
        }),
    ),
    takes(&["-C", "--cpu-mask"], "", BY_ITSELF),
    takes(&["-Cr", "--cpu-range"], "", BY_ITSELF),
    takes(&["--cpu-strict"], "", BY_ITSELF),
    takes(&["--prio"], "", BY_ITSELF),
    takes(&["--poll"], "", BY_ITSELF),
    takes(&["-Cb", "--cpu-mask-batch"], "", BY_ITSELF),
    takes(&["-Crb", "--cpu-range-batch"], "", BY_ITSELF),
    takes(&["--cpu-strict-batch"], "", BY_ITSELF),
    takes(&["--prio-batch"], "", BY_ITSELF),
    takes(&["--poll-batch"], "", BY_ITSELF),
    takes(
        &["-c", "--ctx-size"],
        "CTX_SIZE",
        Do(|flags, given| {
            flags.context = given.count()?.filter(|it| *it > 0);
            Ok(())
        }),
    ),
    takes(
        &["-n", "--predict", "--n-predict"],
        "N_PREDICT",
        Do(|flags, given| {
            flags.standing.max_tokens = given.count()?;
            Ok(())
        }),
    ),
    takes(&["-b", "--batch-size"], "BATCH", BY_ITSELF),
    takes(&["-ub", "--ubatch-size"], "UBATCH", BY_ITSELF),
    takes(
        &["--keep"],
        "",
        Do(|flags, given| {
            flags.standing.keep = given.whole(-1, i64::from(i32::MAX))?;
            Ok(())
        }),
    ),
    plain(&["--swa-full"], "SWA_FULL", BY_ITSELF),
    takes(&["-fa", "--flash-attn"], "FLASH_ATTN", BY_ITSELF),
    pair(
        &["--perf"],
        &["--no-perf"],
        "PERF",
        Nothing("times are always measured"),
    ),
    pair(
        &["-e", "--escape"],
        &["--no-escape"],
        "",
        Do(|flags, given| {
            flags.escape = given.on;
            Ok(())
        }),
    ),
    takes(&["--rope-scaling"], "ROPE_SCALING_TYPE", ROPE),
    takes(&["--rope-scale"], "ROPE_SCALE", ROPE),
    takes(&["--rope-freq-base"], "ROPE_FREQ_BASE", ROPE),
    takes(&["--rope-freq-scale"], "ROPE_FREQ_SCALE", ROPE),
    takes(&["--yarn-orig-ctx"], "YARN_ORIG_CTX", ROPE),
    takes(&["--yarn-ext-factor"], "YARN_EXT_FACTOR", ROPE),
    takes(&["--yarn-attn-factor"], "YARN_ATTN_FACTOR", ROPE),
    takes(&["--yarn-beta-slow"], "YARN_BETA_SLOW", ROPE),
    takes(&["--yarn-beta-fast"], "YARN_BETA_FAST", ROPE),
    pair(
        &["-kvo", "--kv-offload"],
        &["-nkvo", "--no-kv-offload"],
        "KV_OFFLOAD",
        NO_DEVICE,
    ),
    pair(&["--repack"], &["-nr", "--no-repack"], "REPACK", BY_ITSELF),
    plain(&["--no-host"], "NO_HOST", NO_DEVICE),
    takes(&["-ctk", "--cache-type-k"], "CACHE_TYPE_K", SAME_CACHE),
    takes(&["-ctv", "--cache-type-v"], "CACHE_TYPE_V", SAME_CACHE),
    takes(
        &["-dt", "--defrag-thold"],
        "DEFRAG_THOLD",
        Nothing("the cache is in pages"),
    ),
    takes(
        &["--rpc"],
        "RPC",
        Refused("one machine computes: leave it out"),
    ),
    takes(
        &["-lm", "--load-mode"],
        "LOAD_MODE",
        Nothing("files are mapped"),
    ),
    takes(
        &["-lzm", "--lazy-mode"],
        "LAZY_MODE",
        Nothing("files are mapped"),
    ),
    takes(&["--numa"], "NUMA", BY_ITSELF),
    takes(&["-dev", "--device"], "DEVICE", NO_DEVICE),
    takes(&["-ot", "--override-tensor"], "OVERRIDE_TENSOR", NO_DEVICE),
    plain(&["-cmoe", "--cpu-moe"], "CPU_MOE", NO_DEVICE),
    takes(&["-ncmoe", "--n-cpu-moe"], "N_CPU_MOE", NO_DEVICE),
    takes(&["-ncffn", "--n-cpu-ffn"], "N_CPU_FFN", NO_DEVICE),
    takes(
        &["-ngl", "--gpu-layers", "--n-gpu-layers"],
        "N_GPU_LAYERS",
        NO_DEVICE,
    ),
    takes(&["-sm", "--split-mode"], "SPLIT_MODE", NO_DEVICE),
    takes(&["-ts", "--tensor-split"], "TENSOR_SPLIT", NO_DEVICE),
    takes(&["-mg", "--main-gpu"], "MAIN_GPU", NO_DEVICE),
    takes(
        &["-fit", "--fit"],
        "FIT",
        Nothing("what does not fit is refused before it is loaded"),
    ),
    takes(&["-fitt", "--fit-target"], "FIT_TARGET", BY_ITSELF),
    takes(&["-fitc", "--fit-ctx"], "FIT_CTX", BY_ITSELF),
    plain(
        &["--check-tensors"],
        "",
        Nothing("files are checked when they come and when they are read"),
    ),
    takes(
        &["--override-kv"],
        "",
        Refused("metadata is the model's: change the file"),
    ),
    pair(&["--op-offload"], &["--no-op-offload"], "", NO_DEVICE),
    takes(&["--lora"], "", ADAPTER),
    takes(&["--lora-scaled"], "", ADAPTER),
    takes(&["--control-vector"], "", STEERING),
    takes(&["--control-vector-scaled"], "", STEERING),
    Row {
        names: &["--control-vector-layer-range"],
        off: &[],
        env: "",
        takes: 2,
        effect: STEERING,
    },
    takes(
        &["-m", "--model"],
        "MODEL",
        Do(|flags, given| {
            flags.source = Some(Source::Path(PathBuf::from(given.text())));
            Ok(())
        }),
    ),
    takes(
        &["-mu", "--model-url"],
        "MODEL_URL",
        Refused("download the file and name it with -m, or use -hf"),
    ),
    takes(
        &["-dr", "--docker-repo"],
        "DOCKER_REPO",
        Refused("pull the model by its name, or use -hf"),
    ),
    takes(
        &["-hf", "-hfr", "--hf-repo"],
        "HF_REPO",
        Do(|flags, given| {
            flags.source = Some(Source::Repository {
                name: given.text().to_owned(),
                file: None,
            });
            Ok(())
        }),
    ),
    takes(
        &["-hff", "--hf-file"],
        "HF_FILE",
        Do(|flags, given| {
            flags.repository_file = Some(given.text().to_owned());
            Ok(())
        }),
    ),
    takes(
        &["-hft", "--hf-token"],
        "HF_TOKEN",
        Do(|flags, given| {
            flags.hub_token = Some(given.text().to_owned());
            Ok(())
        }),
    ),
    plain(
        &["--log-disable"],
        "",
        Do(|flags, _| {
            flags.log.level = 0;
            Ok(())
        }),
    ),
    takes(
        &["--log-file"],
        "LOG_FILE",
        Do(|flags, given| {
            flags.log.file = Some(PathBuf::from(given.text()));
            Ok(())
        }),
    ),
    pair(
        &["--log-jsonl"],
        &["--no-log-jsonl"],
        "LOG_JSONL",
        Do(|flags, given| {
            flags.log.json = given.on;
            Ok(())
        }),
    ),
    takes(
        &["--log-colors"],
        "LOG_COLORS",
        Do(|flags, given| {
            flags.log.colors = match (given.text(), switch(given.text())) {
                ("auto", _) => None,
                (_, Some(on)) => Some(on),
                (other, None) => {
                    return Err(format!("on, off or auto was expected, found '{other}'"));
                }
            };
            Ok(())
        }),
    ),
    plain(
        &["-v", "--verbose", "--log-verbose"],
        "",
        Do(|flags, _| {
            flags.log.level = 5;
            flags.standing.verbose = true;
            Ok(())
        }),
    ),
    plain(
        &["--offline"],
        "OFFLINE",
        Do(|flags, _| {
            flags.offline = true;
            Ok(())
        }),
    ),
    takes(
        &["-lv", "--verbosity", "--log-verbosity"],
        "LOG_VERBOSITY",
        Do(|flags, given| {
            let level = given.whole(i64::from(i32::MIN), i64::from(i32::MAX))?;
            flags.log.level = level.clamp(0, 5) as u8;
            // Beyond all levels, answers tell more too.
            flags.standing.verbose = level > 9;
            Ok(())
        }),
    ),
    pair(
        &["--log-prefix"],
        &["--no-log-prefix"],
        "LOG_PREFIX",
        Do(|flags, given| {
            flags.log.prefix = given.on;
            Ok(())
        }),
    ),
    pair(
        &["--log-timestamps"],
        &["--no-log-timestamps"],
        "LOG_TIMESTAMPS",
        Do(|flags, given| {
            flags.log.times = given.on;
            Ok(())
        }),
    ),
];
