#include "engine/agreement.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "core/crc32c.h"
#include "core/parallel.h"

namespace emer {

BoundaryDecision agree(Context& ctx, const BoundaryDecision& mine) {
  const std::int64_t packed = mine.window * 4 + (mine.save ? 2 : 0) + (mine.stop ? 1 : 0);
  const std::vector<std::int64_t> all = gather_values(ctx, packed);
  BoundaryDecision agreed{.save = (all[0] & 2) != 0, .stop = false, .window = all[0] / 4};
  for (const std::int64_t rank : all) agreed.stop = agreed.stop || (rank & 1) != 0;
  return agreed;
}

double agreed_value(Context& ctx, double mine, int root) {
  std::vector<double> value{mine};
  broadcast_values(ctx, value, root);
  return value[0];
}

std::string agreed_text(Context& ctx, const std::string& mine, int root) {
  std::vector<double> letters(
      static_cast<std::size_t>(agreed_value(ctx, static_cast<double>(mine.size()), root)));
  for (std::size_t i = 0; i < std::min(letters.size(), mine.size()); ++i)
    letters[i] = static_cast<unsigned char>(mine[i]);
  broadcast_values(ctx, letters, root);
  std::string text;
  for (const double letter : letters) text += static_cast<char>(static_cast<unsigned char>(letter));
  return text;
}

void together(Context& ctx, const std::function<void()>& part) {
  if (ranks_of(ctx) == 1) return part();
  std::string why;
  ErrorKind kind{};  // 0: none
  try {
    part();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kDevice) throw;
    why = error.what();
    kind = error.kind();
  } catch (const std::exception& error) {
    why = error.what();
    kind = ErrorKind::kRunFailed;
  }
  const std::vector<std::int64_t> kinds = gather_values(ctx, static_cast<std::int64_t>(kind));
  for (std::size_t rank = 0; rank < kinds.size(); ++rank)
    if (kinds[rank] != 0)
      throw Error(static_cast<ErrorKind>(kinds[rank]), agreed_text(ctx, why, static_cast<int>(rank)));
}

void check_same(Context& ctx, std::string_view what, std::string_view bytes) {
  const std::vector<std::int64_t> all = gather_values(ctx, std::int64_t{crc32c(bytes)});
  for (std::size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all[0])
      fail_usage("rank {} has another {} than rank 0; give all ranks of a run the same files and options",
                 rank, what);
}

void check_same_run(Context& ctx, const Config& config, const PreparedData& data) {
  if (ranks_of(ctx) == 1) return;
  Config what = config;
  what.device = "auto";
  what.threads = 0;
  what.model.vggish.kernel = VggishKernel::kAuto;
  check_same(ctx, "configuration", dump(what));
  const Dataset& d = data.dataset;
  std::string rows = fmt::format("{} {} {} {} ", d.name, d.music_width, d.music_steps, d.emotion_steps);
  for (const auto& [key, value] : d.metadata) rows += key + value;
  const auto append = [&](const auto& values) {
    rows.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
  };
  for (const auto* part : {&d.song_id, &d.patch_offset, &data.train, &data.validation}) append(*part);
  append(d.music_length);
  append(d.emotion_length);
  check_same(ctx, "data set or split", rows);
}

ThreadShare::ThreadShare(Context& ctx, int threads) {
  const Communicator& ranks = ctx.communicator();
  if (ranks.name() != "threads") {
    if (threads > 0) set_thread_count(threads);
    return;
  }
  // One for all, and while none of them computes. OpenBLAS's products take as many threads as the thread that calls them
  // has been told to, so every rank says it, one after the other.
  const int all = thread_count(), share = threads > 0 ? threads : std::max(1, all / ranks.size());
  if (ranks.rank() == 0 && threads == 0) before_ = all;
  for (int rank = -1; rank < ranks.size(); ++rank) {
    ctx.communicator().barrier();  // the first time: all have read what it was
    if (rank == ranks.rank()) set_thread_count(share);
  }
  ctx.communicator().barrier();
}

ThreadShare::~ThreadShare() {
  if (before_ > 0) set_thread_count(before_);
}

}  // namespace emer
