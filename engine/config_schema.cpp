#include "engine/config_schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "engine/text.h"

namespace emer::schema {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

#define EMER_AT(member)     \
  [](Config & c) -> auto& { \
    return c.member;        \
  }
#define EMER_INT(member, low_, high_)                                                                 \
  IntField {                                                                                          \
    [](const Config& c) { return static_cast<std::int64_t>(c.member); },                              \
        [](Config& c, std::int64_t v) { c.member = static_cast<decltype(c.member)>(v); }, low_, high_ \
  }
#define EMER_CHOICE(member, ...)                                                    \
  ChoiceField {                                                                     \
    {__VA_ARGS__}, [](const Config& c) { return static_cast<int>(c.member); },      \
        [](Config& c, int v) { c.member = static_cast<decltype(c.member)>(v); }, {} \
  }

// A text member that may hold one of a few names only.
ChoiceField text_choice(std::string& (*at)(Config&), const std::vector<std::string>& names) {
  return {names,
          [at, names](const Config& c) {
            const std::string& text = at(const_cast<Config&>(c));
            return static_cast<int>(std::find(names.begin(), names.end(), text) - names.begin());
          },
          [at, names](Config& c, int v) { at(c) = names[static_cast<std::size_t>(v)]; },
          {}};
}

constexpr std::int64_t kIntMax = std::numeric_limits<std::int32_t>::max();

void add_data(std::vector<Key>& k) {
  k.push_back(
      {"data.path", PathField{EMER_AT(data.path)}, "path", "prepared data set (`NAME.safetensors`)", ""});
  k.push_back(
      {"data.split.method", text_choice(EMER_AT(data.split.method), {"sklearn", "kfold", "grouped", "file"}),
       "-", "how songs are divided: scikit-learn's ShuffleSplit, folds, by artist, or a stored split", ""});
  k.push_back({"data.split.seed", EMER_INT(data.split.seed, 0, std::numeric_limits<std::uint32_t>::max()),
               "-", "seed of the split", ""});
  k.push_back({"data.split.train", RealField{EMER_AT(data.split.train), 0, 1, true, false}, "share",
               "songs that are not test songs; 1 leaves no test part", ""});
  k.push_back({"data.split.validation", RealField{EMER_AT(data.split.validation), 0, 1, false, true}, "share",
               "share of the training part that is taken out of it", ""});
  k.push_back(
      {"data.split.folds", EMER_INT(data.split.folds, 2, kIntMax), "folds", "kfold: number of folds", ""});
  k.push_back({"data.split.fold", EMER_INT(data.split.fold, 0, kIntMax), "-",
               "kfold: the fold that is the test part", ""});
  k.push_back({"data.split.path", PathField{EMER_AT(data.split.path)}, "path", "file: a `split.json`", ""});
  k.push_back({"data.standardise", BoolField{EMER_AT(data.standardise)}, "-",
               "music features to mean 0, deviation 1 over the training part", ""});
  k.push_back({"data.clip", RealField{EMER_AT(data.clip), 0, kInfinity, false, false}, "deviations",
               "standardised music features are cut to [-clip, clip]; 0 = off", ""});
  k.push_back(
      {"data.standardise_patches", BoolField{EMER_AT(data.standardise_patches)}, "-",
       "log-mel patches: one mean and deviation over the training part; pretrained weights expect false",
       ""});
  k.push_back({"data.standardise_emotion", BoolField{EMER_AT(data.standardise_emotion)}, "-",
               "valence and arousal likewise", ""});
  k.push_back({"data.emotion_stride", EMER_INT(data.emotion_stride, 1, kIntMax), "ratings",
               "average each run of so many ratings", ""});
  k.push_back({"data.emotion_steps", EMER_INT(data.emotion_steps, 0, kIntMax), "ratings",
               "keep the first so many ratings (after the stride); 0 keeps all", ""});
  k.push_back({"data.deam_short_valence", EMER_CHOICE(data.deam_short_valence, "textbook", "released"), "-",
               "recorded; `emer prepare deam --deam-short-valence` applies it: valence of a DEAM song whose "
               "length is not 60 is cut, "
               "or overwritten "
               "by arousal (B15)",
               "released"});
  k.push_back({"data.rater_mean", EMER_CHOICE(data.rater_mean, "skip_missing", "plain"), "-",
               "recorded only: `emer prepare deam --rater-mean` decides; mean over raters (B16)", "plain"});
  k.push_back({"data.resampler", EMER_CHOICE(data.resampler, "soxr", "resampy_0_2_2"), "-",
               "recorded only: `--resampler` of `emer prepare` and `emer extract` decides; sound to 16 kHz",
               "resampy_0_2_2"});
}

void add_model(std::vector<Key>& k) {
  k.push_back({"model.music.kind",
               EMER_CHOICE(model.music.kind, "mlp", "bigru", "vggish_mlp", "vggish_bigru"), "-",
               "music encoder; mlp flattens sequences; vggish_* take the data set's log-mel patches: mlp the "
               "mean of a "
               "song's vectors, bigru their sequence",
               ""});
  k.push_back({"model.music.widths", WidthsField{EMER_AT(model.music.widths)}, "units",
               "dense layers before the last; where not given and kind is bigru: [512, 512, 512, 1024]", ""});
  k.push_back({"model.music.dropout", OptionalRealField{EMER_AT(model.music.dropout)}, "probability",
               "after each of these layers; null = model.dropout", ""});
  k.push_back({"model.music.input_dropout", RealField{EMER_AT(model.music.input_dropout), 0, 1, false, true},
               "probability", "mlp: on the input", ""});
  add_vggish_keys(k);
  k.push_back({"model.emotion.kind", EMER_CHOICE(model.emotion.kind, "mlp", "bigru"), "-",
               "emotion encoder; mlp flattens the ratings (all songs must then have as many)", ""});
  k.push_back({"model.emotion.widths", WidthsField{EMER_AT(model.emotion.widths)}, "units",
               "dense layers before the last; where not given and kind is mlp: [256, 512, 512, 1024]", ""});
  k.push_back({"model.emotion.dropout", OptionalRealField{EMER_AT(model.emotion.dropout)}, "probability",
               "after each of these layers; null = model.dropout", ""});
  k.push_back({"model.emotion.input_dropout",
               RealField{EMER_AT(model.emotion.input_dropout), 0, 1, false, true}, "probability",
               "mlp: on the input", ""});
  k.push_back(
      {"model.gru.hidden", EMER_INT(model.gru_hidden, 1, 65536), "units", "GRU state per direction", ""});
  // The enum lists kBefore first; the names follow it.
  k.push_back({"model.gru.variant", EMER_CHOICE(model.gru_variant, "reset_before", "reset_after"), "-",
               "where the reset gate acts (B18)", "reset_before"});
  k.push_back({"model.gru.activation", EMER_CHOICE(model.gru_activation, "sigmoid", "hard_sigmoid"), "-",
               "recurrent activation (B18)", "hard_sigmoid"});
  k.push_back({"model.gru.kernel", EMER_CHOICE(model.gru_kernel, "auto", "steps", "persistent"), "-",
               "on CUDA: a product per step, or one kernel for all steps; auto is steps", ""});
  k.push_back({"model.embedding_dim", EMER_INT(model.embedding_dim, 1, 65536), "units",
               "width of the last dense layer and of the three heads", ""});
  k.push_back({"model.activation", EMER_CHOICE(model.activation, "softplus", "relu"), "-",
               "behind every dense layer but the last; the paper has softplus", ""});
  k.push_back({"model.last_activation", EMER_CHOICE(model.last_activation, "softplus", "relu", "none"), "-",
               "behind the last dense layer, which feeds the heads; the paper has softplus", ""});
  k.push_back({"model.dropout", RealField{EMER_AT(model.dropout), 0, 1, false, true}, "probability",
               "after every dense layer but the last, in training (B17)", "0"});
  k.push_back({"model.log_variance_clamp", RangeField{EMER_AT(model.log_variance_clamp)}, "ln variance",
               "[low, high] for the log_variance head; null = off", ""});
}

void add_loss(std::vector<Key>& k) {
  k.push_back({"loss.lambda", RealField{EMER_AT(loss.lambda), 0, 1, false, false}, "-",
               "loss = lambda * CCA + (1 - lambda) * KL; 0 or 1 skips the other term", ""});
  k.push_back({"loss.cca.form", EMER_CHOICE(loss.cca.form, "projection", "exact"), "-",
               "learnt projections (the paper), or deep CCA", ""});
  k.push_back({"loss.cca.correlation", EMER_CHOICE(loss.cca.correlation, "nuclear", "row_norm"), "-",
               "projection: singular values, or row norms (B4)", "row_norm"});
  k.push_back({"loss.cca.centring", EMER_CHOICE(loss.cca.centring, "feature", "sample"), "-",
               "subtract each feature's batch mean, or each sample's own mean (B3)", "sample"});
  k.push_back({"loss.cca.penalty", EMER_CHOICE(loss.cca.penalty, "separate", "summed"), "-",
               "projection: constraint residuals of the views taken apart, or added first (B5)", "summed"});
  k.push_back({"loss.cca.ridge", RealField{EMER_AT(loss.cca.ridge), 0, kInfinity, true, false}, "variance",
               "added to the diagonal of the covariances", ""});
  k.push_back({"loss.cca.solver", EMER_CHOICE(loss.cca.solver, "eigen", "polar"), "-",
               "eigendecompositions (reference), or polar factors (fast); same numbers", ""});
  k.push_back({"loss.cca.reduction", EMER_CHOICE(loss.cca.reduction, "sum", "mean"), "-",
               "mean divides the CCA term by embedding_dim", ""});
  k.push_back({"loss.cca.directions", EMER_INT(loss.cca.directions, 0, 65536), "directions",
               "exact: only the largest correlations; 0 = all", ""});
  k.push_back({"loss.kl.form", EMER_CHOICE(loss.kl.form, "hinge", "softmax"), "-",
               "ranking hinge (the paper), or cross entropy of softmax over -KL", ""});
  k.push_back({"loss.kl.margin", RealField{EMER_AT(loss.kl.margin), 0, kInfinity, false, false}, "nats",
               "hinge margin", ""});
  k.push_back({"loss.kl.norm_rate", RealField{EMER_AT(loss.kl.norm_rate), 0, kInfinity, false, false}, "-",
               "weight of the matching pairs' divergence", ""});
  k.push_back({"loss.kl.norm_broadcast", BoolField{EMER_AT(loss.kl.norm_broadcast)}, "-",
               "count that term once, or batch-size times (B7)", "true"});
  k.push_back({"loss.kl.reduction", EMER_CHOICE(loss.kl.reduction, "sum", "mean"), "-",
               "mean divides each hinge sum by n(n-1), its norm part by n", ""});
  k.push_back({"loss.kl.temperature", RealField{EMER_AT(loss.kl.temperature), 0, kInfinity, true, false},
               "nats", "softmax: divides the divergences (where learnt: at the start)", ""});
  k.push_back({"loss.kl.learn_temperature", BoolField{EMER_AT(loss.kl.learn_temperature)}, "-",
               "softmax: train the temperature", ""});
  k.push_back({"loss.kl.kernel", EMER_CHOICE(loss.kl.kernel, "auto", "strips", "tiles", "hopper"), "-",
               "CUDA: library products, or own tensor-core kernels for hinges in bf16 (not yet run on a "
               "GPU); hopper is sm_90's; "
               "auto = strips",
               ""});
}

void add_train(std::vector<Key>& k) {
  k.push_back(
      {"train.epochs", EMER_INT(train.epochs, 1, kIntMax), "epochs", "passes over the training part", ""});
  k.push_back(
      {"train.batch_size", EMER_INT(train.batch_size, 2, kIntMax), "songs", "songs per optimiser step", ""});
  k.push_back({"train.optimizer", EMER_CHOICE(train.optimizer, "adam_tf", "adam", "adamw"), "-",
               "Adam as TensorFlow has it, as its paper has it, or with decoupled weight decay", ""});
  k.push_back({"train.learning_rate", RealField{EMER_AT(train.learning_rate), 0, kInfinity, true, false}, "-",
               "peak learning rate", ""});
  k.push_back({"train.beta1", RealField{EMER_AT(train.beta1), 0, 1, false, true}, "-",
               "decay of the first moment", ""});
  k.push_back({"train.beta2", RealField{EMER_AT(train.beta2), 0, 1, false, true}, "-",
               "decay of the second moment", ""});
  k.push_back({"train.epsilon", RealField{EMER_AT(train.epsilon), 0, kInfinity, true, false}, "-",
               "added to the root of the second moment", ""});
  k.push_back({"train.weight_decay", RealField{EMER_AT(train.weight_decay), 0, kInfinity, false, false}, "-",
               "adamw: decoupled decay of the weight matrices, times the learning rate", ""});
  k.push_back({"train.schedule.kind", EMER_CHOICE(train.schedule, "constant", "cosine"), "-",
               "learning rate after the warm-up", ""});
  k.push_back({"train.schedule.warmup_epochs", EMER_INT(train.warmup_epochs, 0, kIntMax), "epochs",
               "linear rise from 0 to the peak", ""});
  k.push_back({"train.schedule.final", RealField{EMER_AT(train.schedule_final), 0, 1, false, false},
               "share of the peak", "cosine: where it ends", ""});
  k.push_back({"train.clip_norm", RealField{EMER_AT(train.clip_norm), 0, kInfinity, false, false}, "-",
               "scale the gradient down to this 2-norm; 0 = off", ""});
  k.push_back({"train.ema", RealField{EMER_AT(train.ema), 0, 1, false, true}, "decay per step",
               "moving average of the weights, used by evaluation and `best`; 0 = off", ""});
  k.push_back({"train.seed", EMER_INT(train.seed, 0, std::numeric_limits<std::int64_t>::max()), "-",
               "weights, shuffles, dropout", ""});
  k.push_back(
      {"train.precision", EMER_CHOICE(train.precision, "fp32", "tf32", "bf16", "fp16"), "-",
       "operands of matrix products on CUDA; weights, sums and optimiser stay fp32; the CPU knows fp32 only",
       ""});
  k.push_back({"train.cuda_graph", BoolField{EMER_AT(train.cuda_graph)}, "-",
               "CUDA: record a step once per batch size and replay it; false to debug", ""});
  k.push_back({"train.validate_every", EMER_INT(train.validate_every, 1, kIntMax), "epochs",
               "between validations, if there is a validation part", ""});
  k.push_back({"train.early_stopping.patience", EMER_INT(train.patience, 0, kIntMax), "validations",
               "stop after so many without improvement; 0 = never", ""});
  k.push_back({"train.early_stopping.metric", EMER_CHOICE(train.metric, "mrr", "ar", "loss"), "-",
               "what `best` and early stopping judge by, on the validation part: mean of both directions' "
               "MRR or AR, or "
               "the loss",
               ""});
  k.push_back({"train.checkpoint_every", EMER_INT(train.checkpoint_every, 0, kIntMax), "epochs",
               "between numbered checkpoints; 0 = only last and best", ""});
  k.push_back(
      {"train.random_patches", EMER_INT(train.random_patches, 0, kIntMax), "patches",
       "vggish_*: a random stretch of so many patches of each longer song in every step; 0 = whole songs",
       ""});
  k.push_back(
      {"train.chunk_size", EMER_INT(train.chunk_size, 0, kIntMax), "songs",
       "that a rank encodes at a time, forward again before backward; 0 = its whole share of the batch", ""});
  k.push_back({"train.log_every", EMER_INT(train.log_every, 1, kIntMax), "steps",
               "between lines on a console that is no terminal; metrics.jsonl has every step", ""});
}

void add_distributed(std::vector<Key>& k) {
  k.push_back({"distributed.shard_optimizer", BoolField{EMER_AT(distributed.shard_optimizer)}, "-",
               "each rank keeps and updates its share of the optimiser's state (ZeRO-1)", ""});
  k.push_back({"distributed.bucket_mb", RealField{EMER_AT(distributed.bucket_mb), 0, 1e6, true, false}, "MB",
               "gradients are summed over ranks in pieces of about so many, while backward goes on", ""});
  k.push_back({"distributed.timeout", RealField{EMER_AT(distributed.timeout), 0, 1e6, true, false}, "seconds",
               "of silence after which a rank counts as lost and the others end", ""});
  k.push_back({"distributed.kl_pieces", EMER_INT(loss.kl.pieces, 0, kIntMax), "-",
               "in which a rank gathers the batch's Gaussians, one worked while the next comes; 0 = as few "
               "as need no "
               "more than about 8 GiB",
               ""});
}

void add_eval(std::vector<Key>& k) {
  k.push_back({"eval.lambda", RealField{EMER_AT(eval.lambda), 0, 1, false, false}, "-",
               "dissimilarity = lambda * CCA + (1 - lambda) * KL", ""});
  k.push_back({"eval.correlation_threshold",
               RealField{EMER_AT(eval.correlation_threshold), 0, 1, false, false}, "-",
               "only directions correlated at least so much on the training part", ""});
  k.push_back({"eval.kl_orientation", EMER_CHOICE(eval.kl_orientation, "query", "released", "candidate"), "-",
               "KL(query || candidate), the released mix (B1, B2), or KL(candidate || query)", "released"});
  ChoiceField ties = EMER_CHOICE(eval.tie_rule, "mean", "by_index");
  ties.spellings = {{"mean rank of the tied", "mean"}, {"by index", "by_index"}};
  k.push_back({"eval.tie_rule", ties, "-", "rank of equal scores (B25)", "by_index"});
  k.push_back({"eval.standardise_terms", BoolField{EMER_AT(eval.standardise_terms)}, "-",
               "divide each term by its deviation over the query's candidates (B23)", "false"});
  k.push_back({"eval.kl_symmetric", BoolField{EMER_AT(eval.kl_symmetric)}, "-",
               "rank by the mean of both divergences", ""});
  k.push_back({"eval.ridge", RealField{EMER_AT(eval.ridge), 0, kInfinity, true, false}, "variance",
               "of the CCA fitted on the training embeddings", ""});
  k.push_back({"eval.seed", EMER_INT(eval.seed, 0, std::numeric_limits<std::int64_t>::max()), "-",
               "of the resampling", ""});
  k.push_back({"eval.bootstrap", EMER_INT(eval.bootstrap, 0, 1000000), "resamples",
               "for confidence intervals; 0 = none", ""});
}

std::vector<Key> make_keys() {
  std::vector<Key> k;
  k.push_back({"compat", EMER_CHOICE(compat, "textbook", "released"), "-",
               "presets of the keys that have a released value; explicit keys win", ""});
  add_data(k);
  add_model(k);
  add_loss(k);
  add_train(k);
  add_distributed(k);
  add_eval(k);
  add_study_keys(k);
  k.push_back({"device", text_choice(EMER_AT(device), {"auto", "cpu", "cuda"}), "-", "where it runs", ""});
  k.push_back(
      {"threads", EMER_INT(threads, 0, 4096), "threads", "CPU threads; 0 = all (or EMER_THREADS)", ""});
  return k;
}

std::string number_text(double value) {
  return fmt::format("{}", value);
}

std::string joined_numbers(const std::vector<int>& numbers) {
  std::vector<std::string> texts;
  for (const int number : numbers) texts.push_back(std::to_string(number));
  return joined(texts, ", ");
}

// Double quotes wherever plain YAML could read something else into the text.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

const std::vector<Key>& keys() {
  static const std::vector<Key> table = make_keys();
  return table;
}

const Key* find(const std::string& path) {
  for (const Key& key : keys())
    if (key.path == path) return &key;
  return nullptr;
}

bool is_section(const std::string& path) {
  return std::any_of(keys().begin(), keys().end(),
                     [&](const Key& key) { return key.path.rfind(path + ".", 0) == 0; });
}

std::vector<std::string> children(const std::string& section) {
  const std::string prefix = section.empty() ? "" : section + ".";
  std::vector<std::string> names;
  for (const Key& key : keys()) {
    if (key.path.rfind(prefix, 0) != 0) continue;
    const std::string rest = key.path.substr(prefix.size());
    const std::string name = rest.substr(0, rest.find('.'));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string nearest(const std::string& name, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  const std::string probe = name.substr(0, 64);
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(probe, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string value_text(const Key& key, const Config& config) {
  Config& c =
      const_cast<Config&>(config);  // the accessors serve reading and writing; nothing is written here
  return std::visit(
      Overloaded{
          [&](const BoolField& f) { return std::string(f.at(c) ? "true" : "false"); },
          [&](const IntField& f) { return fmt::format("{}", f.get(c)); },
          [&](const RealField& f) { return number_text(f.at(c)); },
          [&](const OptionalRealField& f) { return f.at(c) ? number_text(*f.at(c)) : std::string("null"); },
          [&](const RangeField& f) {
            return f.at(c) ? fmt::format("[{}, {}]", number_text((*f.at(c))[0]), number_text((*f.at(c))[1]))
                           : std::string("null");
          },
          [&](const WidthsField& f) { return "[" + joined_numbers(f.at(c)) + "]"; },
          [&](const PathField& f) { return quoted(f.at(c)); },
          [&](const ChoiceField& f) { return f.names.at(static_cast<std::size_t>(f.get(c))); }},
      key.field);
}

std::string allowed_text(const Key& key) {
  return std::visit(
      Overloaded{[](const BoolField&) { return std::string("true, false"); },
                 [](const IntField& f) {
                   return f.high >= kIntMax ? fmt::format("integer >= {}", f.low)
                                            : fmt::format("integer {} to {}", f.low, f.high);
                 },
                 [](const RealField& f) {
                   const char* from = f.low_open ? ">" : ">=";
                   if (f.high == kInfinity) return fmt::format("number {} {}", from, f.low);
                   return fmt::format("number {} {} and {} {}", from, f.low,
                                      f.high_open ? "<" : "<=", f.high);
                 },
                 [](const OptionalRealField& f) {
                   return fmt::format("null, number >= {} and < {}", f.low, f.high);
                 },
                 [](const RangeField&) { return std::string("null, [low, high] with low < high"); },
                 [](const WidthsField&) { return std::string("list of integers 1 to 65536"); },
                 [](const PathField&) { return std::string("text; ${NAME} is the environment's"); },
                 [](const ChoiceField& f) { return joined(f.names, ", "); }},
      key.field);
}

}  // namespace emer::schema

namespace emer {

std::vector<std::string> differing_keys(const Config& before, const Config& after) {
  std::vector<std::string> names;
  for (const schema::Key& key : schema::keys()) {
    const std::string was = schema::value_text(key, before), is = schema::value_text(key, after);
    if (was != is) names.push_back(fmt::format("{} ({} -> {})", key.path, was, is));
  }
  return names;
}

std::string dump(const Config& config) {
  std::string text;
  std::vector<std::string> open;  // sections whose header line is out
  for (const schema::Key& key : schema::keys()) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= key.path.size();) {
      const std::size_t end = std::min(key.path.find('.', begin), key.path.size());
      parts.push_back(key.path.substr(begin, end - begin));
      begin = end + 1;
    }
    std::size_t shared = 0;
    while (shared < open.size() && shared + 1 < parts.size() && open[shared] == parts[shared]) ++shared;
    open.resize(shared);
    for (; open.size() + 1 < parts.size(); open.push_back(parts[open.size()]))
      text += fmt::format("{}{}:\n", std::string(2 * open.size(), ' '), parts[open.size()]);
    text += fmt::format("{}{}: {}\n", std::string(2 * open.size(), ' '), parts.back(),
                        schema::value_text(key, config));
  }
  return text;
}

}  // namespace emer
