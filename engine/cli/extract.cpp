// emer extract: sound files to log-mel patches, VGGish vectors, post-processed vectors or learnt embeddings. SIGINT
// and SIGTERM keep what is done and end with exit code 5; the same command goes on from there.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "core/check.h"
#include "core/device.h"
#include "core/parallel.h"
#include "data/pcm_cache.h"
#include "engine/cli/commands.h"
#include "engine/cli/dataset_output.h"
#include "engine/extract.h"

namespace emer::cli {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

// The second signal kills, as if nothing had been caught.
void request_stop(int signal) {
  stop_requested = 1;
  std::signal(signal, SIG_DFL);
}

const std::map<std::string, AudioOutput> kOutputs = {{"logmel", AudioOutput::kLogMel},
                                                     {"vggish", AudioOutput::kVggish},
                                                     {"pca", AudioOutput::kPca},
                                                     {"embeddings", AudioOutput::kLogMel}};

const std::map<std::string, Precision> kPrecisions = {
    {"fp32", Precision::kFp32}, {"tf32", Precision::kTf32}, {"bf16", Precision::kBf16}};

struct Options {
  std::vector<std::string> inputs;
  std::string what, out, weights, checkpoint, precision, pca, rounding, resampler = "soxr", device = "auto",
                                                                        cache;
  double start = 0.0;
  std::optional<double> seconds;
  bool pad = false, no_cache = false, tune = false;
  int threads = 0;
};

// Of hours of sound in a second of the clock.
std::string rate(const ExtractProgress& progress) {
  return fmt::format("{:.3g} h of audio per second",
                     progress.sound_seconds / 3600.0 / std::max(progress.seconds, 1e-9));
}

// One line that is written over, on a terminal only.
class ProgressLine {
 public:
  void show(const ExtractProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || (progress.done < progress.files && now - shown_ < std::chrono::milliseconds(100)))
      return;
    shown_ = now;
    std::fprintf(stderr, "\r\033[K%s",
                 fmt::format("{}/{} files, {:.2f} h of audio, {}", progress.done, progress.files,
                             progress.sound_seconds / 3600.0, rate(progress))
                     .c_str());
  }
  void clear() {
    if (terminal_) std::fputs("\r\033[K", stderr);
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now() - std::chrono::hours(1);
};

ExtractRequest request_of(const Options& options) {
  ExtractRequest request;
  request.inputs = options.inputs;
  request.out = options.out;
  request.range = {.start_seconds = options.start, .seconds = options.seconds, .pad = options.pad};
  AudioFeatureOptions& features = request.features;
  features.output = kOutputs.at(options.what);
  features.resampler = options.resampler == "soxr" ? Resampler::kSoxr : Resampler::kResampy022;
  features.weights = options.weights;
  features.pca = options.pca;
  features.rounding = options.rounding == "nearest" ? PcaRounding::kNearest : PcaRounding::kTruncate;
  if (!options.no_cache)
    features.cache_folder = options.cache.empty() ? default_cache_folder() : options.cache;
  features.tune = options.tune;
  features.note = [](const std::string& line) { fmt::print("{}\n", line); };
  const bool embeddings = options.what == "embeddings";
  request.checkpoint = options.checkpoint;
  if (embeddings && options.checkpoint.empty())
    fail_usage(
        "--what embeddings needs --checkpoint: a run, or one of its checkpoints, of a model that takes "
        "sound");
  if (!embeddings && !options.checkpoint.empty())
    fail_usage("--checkpoint has no use with --what {}", options.what);
  if (features.output == AudioOutput::kLogMel)
    for (const auto& [given, name] :
         {std::pair{!options.weights.empty(), "--weights"},
          std::pair{!options.precision.empty(), "--precision"}, std::pair{options.tune, "--tune"}})
      if (given) fail_usage("{} has no use with --what {}", name, options.what);
  if (features.output != AudioOutput::kLogMel && options.weights.empty())
    fail_usage("--what {} needs --weights: VGGish's, as emer convert vggish writes them", options.what);
  if (features.output != AudioOutput::kPca)
    for (const auto& [given, name] :
         {std::pair{!options.pca.empty(), "--pca"}, std::pair{!options.rounding.empty(), "--pca-rounding"}})
      if (given) fail_usage("{} has no use with --what {}", name, options.what);
  if (features.output == AudioOutput::kPca && options.pca.empty())
    fail_usage("--what pca needs --pca: VGGish's vggish_pca_params.npz");
  return request;
}

// File names may hold line ends, by which these lists are read.
std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return text;
}

void report(const Options& options, const ExtractResult& result) {
  for (const std::string& warning : result.warnings) fmt::print("warning: {}\n", one_line(warning));
  for (const std::string& failure : result.failures) fmt::print("failed: {}\n", one_line(failure));
  const ExtractProgress& progress = result.progress;
  if (result.written > 0)
    fmt::print("wrote {}: {} of {} files, {} rows\n", options.out, result.written, progress.files,
               result.rows);
  if (result.reused > 0) fmt::print("{} files were done before or are copies of others\n", result.reused);
  fmt::print("{:.3f} h of audio in {:.2f} s: {}\n", progress.sound_seconds / 3600.0, progress.seconds,
             rate(progress));
}

void run_extract(const Options& options) {
  if (options.threads > 0) set_thread_count(options.threads);
  ExtractRequest request = request_of(options);
  Context ctx(choose_device(options.device));
  if (!options.precision.empty()) ctx.set_precision(kPrecisions.at(options.precision));
  check_target(options.out);
  ProgressLine line;
  request.should_stop = [] { return stop_requested != 0; };
  request.progress = [&](const ExtractProgress& progress) { line.show(progress); };
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  const ExtractResult result = extract(ctx, request);
  line.clear();
  const ExtractProgress& progress = result.progress;
  if (result.stopped)
    fail(ErrorKind::kStopped, "stopped by a signal after {} of {} files; the same command goes on from there",
         progress.done, progress.files);
  const auto failures = static_cast<std::int64_t>(result.failures.size());
  if (failures == 1 && progress.files == 1) fail_input("{}", result.failures.front());
  report(options, result);
  std::fflush(stdout);
  if (failures == 0) return;
  if (result.written == 0)
    fail_input("none of {} files could be used, nothing was written; the first: {}", failures,
               result.failures.front());
  fail_input("{} of {} files failed and are not in {}; the first: {}", failures, progress.files, options.out,
             result.failures.front());
}

}  // namespace

void register_extract(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("extract", "sound files to log-mel patches, VGGish vectors or embeddings");
  auto options = std::make_shared<Options>();
  command->add_option("AUDIO", options->inputs, "sound files, folders of them, zip archives of them")
      ->required();
  command
      ->add_option(
          "--what", options->what,
          "logmel: patches of 96 x 64; vggish: 128 numbers a patch; pca: 128 bytes a patch, post-processed; "
          "embeddings: three vectors a file, of a trained model")
      ->required()
      ->check(CLI::IsMember(kOutputs));
  command->add_option("--out", options->out, "file to write (NAME.safetensors)")->required();
  command->add_option("--weights", options->weights, "VGGish's weights (safetensors), for vggish and pca");
  command->add_option("--checkpoint", options->checkpoint,
                      "a run or a checkpoint whose model takes sound, for embeddings");
  command->add_option("--pca", options->pca,
                      "the post-processing's parameters (.npz or safetensors), for pca");
  command
      ->add_option("--pca-rounding", options->rounding,
                   "truncate, as the TensorFlow code does (default), or nearest, as the PyTorch port")
      ->check(CLI::IsMember({"truncate", "nearest"}));
  command->add_option("--start", options->start, "use each file from here, in seconds")
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "use so many seconds (default: to the end)");
  command->add_flag("--pad", options->pad, "fill shorter files up to --seconds with silence");
  command
      ->add_option("--resampler", options->resampler,
                   "to 16 kHz, where the rate differs: soxr or resampy_0_2_2")
      ->check(CLI::IsMember({"soxr", "resampy_0_2_2"}))
      ->capture_default_str();
  command->add_option("--device", options->device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}))
      ->capture_default_str();
  command
      ->add_option("--precision", options->precision,
                   "of VGGish's products on CUDA: fp32 (default), tf32, bf16")
      ->check(CLI::IsMember(kPrecisions));
  command->add_flag("--tune", options->tune,
                    "find the fastest convolution kernels first, for vggish and pca on CUDA");
  command->add_option("--threads", options->threads, "CPU threads; 0: all")->check(CLI::Range(0, 1024));
  CLI::Option* cache = command->add_option(
      "--cache", options->cache,
      "folder that keeps decoded sound (default $EMER_CACHE, $XDG_CACHE_HOME/emer or ~/.cache/emer)");
  command->add_flag("--no-cache", options->no_cache, "decode every time")->excludes(cache);
  command->footer(
      "Examples:\n"
      "  emer extract music/ --what logmel --out music.safetensors\n"
      "  emer extract DEAM_audio.zip --what vggish --weights vggish.safetensors --start 15 --seconds 30 "
      "--pad "
      "--out deam.safetensors\n"
      "  emer extract music/ --what embeddings --checkpoint runs/vgmidi --out music.safetensors");
  command->callback([options] { run_extract(*options); });
}

}  // namespace emer::cli
