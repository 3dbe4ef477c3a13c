#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "core/build_info.h"
#include "core/check.h"
#include "engine/cli/commands.h"
#include "engine/ranks.h"

namespace {

int report(const std::string& message, emer::ErrorKind kind) {
  emer::print_failure(message);
  return static_cast<int>(kind);
}

// The end of a rank that has nothing to add to what rank 0 says. Not at once: a launcher ends the others when one has
// ended, and rank 0 may not have said it yet.
int leave_it_to_rank_0() {
  std::this_thread::sleep_for(std::chrono::seconds(3));
  return static_cast<int>(emer::ErrorKind::kUsage);
}

// libgomp's threads spin about a millisecond at every barrier before they sleep. Where other processes want
// the same cores that costs a factor of ten to twenty (measured: 90 s instead of 5 s for a step of the
// paper's model on two cores with a load of ten); short spins cost microseconds on an idle machine. libgomp
// reads the environment before main(), hence the restart, once. Whoever sets either variable keeps the
// choice.
void restart_with_short_spins(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", "1000", 0) != 0) return;
  execv("/proc/self/exe", argv);  // returns only where it failed: then long spins it is
}

// --set takes any number of key=value texts, but never what follows them: `--set a=1 b=2 CONFIG` becomes
// `--set a=1 --set b=2 CONFIG`. --resume takes `auto` and `last`, and never anything else: `--resume auto` becomes
// `--resume=auto`. Last argument first, as CLI11 wants them.
std::vector<std::string> reversed_arguments(int argc, char** argv) {
  const auto assigns = [](const std::string& text) {
    const std::size_t equals = text.find('=');
    return equals != std::string::npos && equals > 0 &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == equals;
  };
  std::vector<std::string> arguments;
  bool after_set = false;
  for (int i = 1; i < argc; ++i) {
    if (after_set && arguments.back() != "--set" && assigns(argv[i])) arguments.emplace_back("--set");
    const std::string text = argv[i];
    if (!arguments.empty() && arguments.back() == "--resume" && (text == "auto" || text == "last"))
      arguments.back() += "=" + text;
    else
      arguments.push_back(text);
    after_set =
        arguments.back() == "--set" || (arguments.size() > 1 && arguments[arguments.size() - 2] == "--set");
  }
  return {arguments.rbegin(), arguments.rend()};
}

// CLI11 says of a misspelt command only that one is required.
std::string usage_message(CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string commands;
  bool known = argc < 2 || argv[1][0] == '-';
  for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    known = known || command->get_name() == argv[1];
    commands += " " + command->get_name();
  }
  if (known) {
    std::string command = "emer";
    for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
      at = at->get_subcommands().front();
      command += " " + at->get_name();
    }
    return std::string(error.what()) + "; see " + command + " --help";
  }
  return std::string("there is no command '") + argv[1] + "'; the commands are" + commands +
         "; see emer --help";
}

void register_commands(CLI::App& app) {
  using namespace emer::cli;
#ifdef EMER_COMMAND_PREPARE
  register_prepare(app);
#endif
#ifdef EMER_COMMAND_SYNTH
  register_synth(app);
#endif
#ifdef EMER_COMMAND_CONVERT
  register_convert(app);
#endif
#ifdef EMER_COMMAND_EXTRACT
  register_extract(app);
#endif
#ifdef EMER_COMMAND_TRAIN
  register_train(app);
#endif
#ifdef EMER_COMMAND_LAUNCH
  register_launch(app);
#endif
#ifdef EMER_COMMAND_EVALUATE
  register_evaluate(app);
#endif
#ifdef EMER_COMMAND_REPRODUCE
  register_reproduce(app);
#endif
#ifdef EMER_COMMAND_SEARCH
  register_search(app);
#endif
#ifdef EMER_COMMAND_REPORT
  register_report(app);
#endif
#ifdef EMER_COMMAND_LOSS
  register_loss(app);
#endif
#ifdef EMER_COMMAND_BENCH
  register_bench(app);
#endif
  register_info(app);
}

}  // namespace

int main(int argc, char** argv) {
  restart_with_short_spins(argv);
  CLI::App app("emer - joint embeddings of music and emotion (EMER-CL, arXiv:2112.07192)", "emer");
  app.set_version_flag("--version", "emer " + emer::version() + " (" + emer::git_hash() + ")");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  emer synth --songs 400 --out songs.safetensors\n"
      "  emer train configs/deam_opensmile.yaml --set data.path=songs.safetensors --run runs/first\n"
      "  emer evaluate runs/first --baselines\n"
      "  emer search runs/first --song 12\n"
      "  emer info --config-reference\n"
      "Exit codes: 0 done, 1 the run failed, 2 wrong usage or configuration, 3 unreadable input, 4 device or "
      "communication failure,\n"
      "5 stopped by a signal or a time limit after saving: start it again.");
  register_commands(app);
  try {
    app.parse(reversed_arguments(argc, argv));
    // What was asked for is on standard output or the command has failed: a full disk, a closed pipe.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      return report(std::string("cannot write to standard output: ") + std::strerror(errno),
                    emer::ErrorKind::kRunFailed);
    return 0;
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::RuntimeError& error) {  // emer launch: the ranks have told why
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    if (!emer::speaks_for_all()) return leave_it_to_rank_0();
    return report(usage_message(app, error, argc, argv), emer::ErrorKind::kUsage);
  } catch (const std::exception&) {
    const emer::Failure failure = emer::failure_of(std::current_exception());
    // What is wrong with the command line all ranks find; what is wrong with one it says where ranks meet.
    if (failure.kind == emer::ErrorKind::kUsage && !emer::speaks_for_all()) return leave_it_to_rank_0();
    return report(failure.text, failure.kind);
  }
}
