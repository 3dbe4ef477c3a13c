// What orders two accesses of one launch: the same thread, barriers, and releases that someone has acquired.
#include <algorithm>

#include "tests/simt/internal.h"

namespace emer::simt {

namespace {

Knowledge::Entry* find(const KnowledgePtr& knowledge, std::uint32_t block) {
  if (knowledge == nullptr) return nullptr;
  auto& entries = knowledge->entries;
  const auto at = std::lower_bound(entries.begin(), entries.end(), block,
                                   [](const Knowledge::Entry& e, std::uint32_t b) { return e.block < b; });
  return at == entries.end() || at->block != block ? nullptr : &*at;
}

void make_own(KnowledgePtr& knowledge) {
  if (knowledge == nullptr) {
    knowledge = std::make_shared<Knowledge>();
  } else if (knowledge.use_count() > 1) {
    knowledge = std::make_shared<Knowledge>(*knowledge);
  }
}

void merge_entry(Knowledge& to, const Knowledge::Entry& from) {
  auto& entries = to.entries;
  auto at = std::lower_bound(entries.begin(), entries.end(), from.block,
                             [](const Knowledge::Entry& e, std::uint32_t b) { return e.block < b; });
  if (at == entries.end() || at->block != from.block) {
    entries.insert(at, from);
    return;
  }
  at->all = std::max(at->all, from.all);
  // Both ascend by thread.
  auto& mine = at->threads;
  std::size_t place = 0;
  for (const auto& [thread, stamp] : from.threads) {
    while (place < mine.size() && mine[place].first < thread) ++place;
    if (place < mine.size() && mine[place].first == thread) {
      mine[place].second = std::max(mine[place].second, stamp);
    } else {
      mine.insert(mine.begin() + static_cast<std::ptrdiff_t>(place), {thread, stamp});
    }
  }
}

bool covers(const KnowledgePtr& knowledge, const Knowledge::Entry& other) {
  const Knowledge::Entry* entry = find(knowledge, other.block);
  if (entry == nullptr || entry->all < other.all) return false;
  std::size_t place = 0;
  for (const auto& [thread, stamp] : other.threads) {
    while (place < entry->threads.size() && entry->threads[place].first < thread) ++place;
    if (place == entry->threads.size() || entry->threads[place].first != thread ||
        entry->threads[place].second < stamp)
      return false;
  }
  return true;
}

// The stamp before which `me` knows what this thread has done; 0 where it knows nothing.
Stamp known_until(const KnowledgePtr& knowledge, std::uint32_t block, std::uint16_t thread) {
  const Knowledge::Entry* entry = find(knowledge, block);
  if (entry == nullptr) return 0;
  const auto at = std::lower_bound(entry->threads.begin(), entry->threads.end(), thread,
                                   [](const auto& of, std::uint16_t id) { return of.first < id; });
  return at == entry->threads.end() || at->first != thread ? entry->all : std::max(entry->all, at->second);
}

bool knows(const Thread& me, std::uint32_t block, std::uint16_t thread, Stamp when) {
  return when < known_until(me.known, block, thread) || when < known_until(me.block->known, block, thread);
}

bool knows(const Thread& me, const Access& earlier) {
  if (earlier.thread == kBlockReaders || (earlier.thread & kWarpReaders) == 0 || earlier.block != me.block_id)
    return knows(me, earlier.block, earlier.thread, earlier.when);
  const unsigned warp = earlier.thread & 0x7fffu, existing = me.block->warps[warp].existing;
  for (unsigned lane = 0; lane < 32; ++lane)
    if ((existing >> lane & 1) != 0 &&
        !knows(me, earlier.block, static_cast<std::uint16_t>(32 * warp + lane), earlier.when))
      return false;
  return true;
}

}  // namespace

void add_knowledge(KnowledgePtr& to, const KnowledgePtr& from) {
  if (from == nullptr || from == to) return;
  if (to == nullptr) {
    to = from;
    return;
  }
  for (const auto& entry : from->entries) {
    if (covers(to, entry)) continue;  // the common case of a loop that waits: no copy
    make_own(to);
    merge_entry(*to, entry);
  }
}

bool ordered(const Thread& me, const Access& earlier) {
  const Block& block = *me.block;
  if (earlier.block == me.block_id) {
    if (earlier.when < block.barrier || earlier.thread == me.id) return true;
    if (earlier.thread == kBlockReaders) return g_run.knowledge && knows(me, earlier);
    const unsigned warp =
        (earlier.thread & kWarpReaders) != 0 ? earlier.thread & 0x7fffu : earlier.thread / 32u;
    if (warp == me.id / 32u) {
      if (earlier.when < block.warps[warp].synced) return true;
      if (me.lanes != nullptr && (earlier.thread & kWarpReaders) == 0 &&
          earlier.when < (*me.lanes)[earlier.thread % 32])
        return true;
    }
    return g_run.knowledge && knows(me, earlier);
  }
  if (!g_run.knowledge) return false;
  if (earlier.block == kManyBlocks) return me.known != nullptr || block.known != nullptr;
  if (earlier.block == kReaderSet) {
    const std::size_t index = (static_cast<std::size_t>(earlier.flags) >> 1) << 16 | earlier.thread;
    const auto& readers = g_run.reader_sets[index].readers;
    return std::all_of(readers.begin(), readers.end(), [&](const Access& reader) {
      return (reader.block == me.block_id && reader.thread == me.id) || ordered(me, reader);
    });
  }
  return knows(me, earlier);
}

// What `me` knows now, its own accesses included, will reach whoever acquires from its next atomic or volatile write.
void take_fence(Thread& me) {
  g_run.knowledge = true;
  Block& block = *me.block;
  KnowledgePtr all;
  add_knowledge(all, block.known);
  add_knowledge(all, me.known);
  ++g_stamp;
  make_own(all);
  merge_entry(*all, {me.block_id, block.barrier, {{me.id, g_stamp}}});
  const Warp& warp = block.warp_of(me);
  for (std::uint16_t lane = 0; lane < 32; ++lane) {
    const Stamp seen = std::max(warp.synced, me.lanes == nullptr ? Stamp{0} : (*me.lanes)[lane]);
    if (seen > block.barrier && lane != me.lane)
      merge_entry(*all,
                  {me.block_id, block.barrier, {{static_cast<std::uint16_t>(me.id / 32 * 32 + lane), seen}}});
  }
  me.released = std::move(all);
}

void release_to(Thread& me, std::uintptr_t address, bool fence_first) {
  if (fence_first) take_fence(me);
  if (me.released == nullptr && me.block->released == nullptr) return;
  KnowledgePtr& at = g_run.released[address];
  // In place where nobody else holds it, which keeps a chain over many blocks linear.
  add_knowledge(at, me.released);
  add_knowledge(at, me.block->released);
}

void acquire_from(Thread& me, std::uintptr_t address) {
  if (!g_run.knowledge) return;
  const auto found = g_run.released.find(address);
  if (found != g_run.released.end()) add_knowledge(me.known, found->second);
}

void block_synchronised(Block& block) {
  block.barrier = ++g_stamp;
  if (!g_run.knowledge) return;
  for (Thread& thread : block.threads) {
    add_knowledge(block.known, thread.known);
    add_knowledge(block.released, thread.released);
    thread.known.reset();
    thread.released.reset();
  }
}

void warp_synchronised(Block& block, Warp& warp, unsigned first_thread, unsigned lanes) {
  ++g_stamp;
  if (lanes == warp.existing) {
    warp.synced = g_stamp;
  } else {
    std::array<Stamp, 32> joined{};
    for (unsigned lane = 0; lane < 32; ++lane)
      if ((lanes >> lane & 1) != 0 && block.threads[first_thread + lane].lanes != nullptr)
        for (unsigned i = 0; i < 32; ++i)
          joined[i] = std::max(joined[i], (*block.threads[first_thread + lane].lanes)[i]);
    for (unsigned lane = 0; lane < 32; ++lane)
      if ((lanes >> lane & 1) != 0) joined[lane] = g_stamp;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((lanes >> lane & 1) == 0) continue;
      auto& of_thread = block.threads[first_thread + lane].lanes;
      if (of_thread == nullptr) of_thread = std::make_unique<std::array<Stamp, 32>>();
      *of_thread = joined;
    }
  }
  if (!g_run.knowledge) return;
  KnowledgePtr known;
  for (unsigned lane = 0; lane < 32; ++lane)
    if ((lanes >> lane & 1) != 0) add_knowledge(known, block.threads[first_thread + lane].known);
  for (unsigned lane = 0; lane < 32; ++lane)
    if ((lanes >> lane & 1) != 0) block.threads[first_thread + lane].known = known;
}

// What a thread does between its own arrival and the last one's counts as before the barrier.
void cluster_synchronised(Cluster& cluster) {
  KnowledgePtr all;
  ++g_stamp;
  for (Block* block : cluster.blocks) {
    for (Thread& thread : block->threads) add_knowledge(all, thread.known);
    add_knowledge(all, block->known);
  }
  make_own(all);
  for (Block* block : cluster.blocks) merge_entry(*all, {block->id, g_stamp, {}});
  cluster.known = std::move(all);
  g_run.knowledge = true;
}

}  // namespace emer::simt
