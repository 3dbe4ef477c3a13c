// engine/cli/commands.h - every subcommand registers itself on the application; its work runs in the
// callback. A command throws emer::Error for what the user must know; main() turns that into one line and the
// exit code.
#pragma once

namespace CLI {
class App;
}

namespace emer::cli {

void register_info(CLI::App& app);
void register_prepare(CLI::App& app);
void register_prepare_vgmidi(CLI::App& prepare);  // a subcommand of prepare
void register_synth(CLI::App& app);
void register_convert(CLI::App& app);
void register_convert_vggish(CLI::App& convert);  // a subcommand of convert
void register_extract(CLI::App& app);
void register_train(CLI::App& app);
void register_launch(CLI::App& app);
void register_evaluate(CLI::App& app);
void register_reproduce(CLI::App& app);
void register_search(CLI::App& app);
void register_loss(CLI::App& app);
void register_report(CLI::App& app);
void register_bench(CLI::App& app);  // defined in bench/, which stands above engine/

}  // namespace emer::cli
