// Runs a fuzz target without libFuzzer: every file of the corpus folders, then mutations of them. Mutation i
// depends on i and the corpus only, so a finding can be replayed. Usage: fuzz_NAME MUTATIONS FOLDER…
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

std::string present_input;  // for the last words
std::string present_name;

void last_words() {
  const char* path = "fuzz_finding.bin";
  std::fprintf(stderr, "the input was %s, kept in %s\n", present_name.c_str(), path);
  if (std::FILE* file = std::fopen(path, "wb")) {
    std::fwrite(present_input.data(), 1, present_input.size(), file);
    std::fclose(file);
  }
}

void on_signal(int signal) {
  last_words();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

using Random = std::mt19937_64;
std::size_t below(Random& random, std::size_t bound) {
  return bound == 0 ? 0 : random() % bound;
}

void mutate(std::string& text, Random& random, const std::vector<std::string>& corpus) {
  const std::size_t at = below(random, text.size() + 1);
  const std::size_t length = below(random, std::min<std::size_t>(text.size() - at, 32) + 1);
  switch (below(random, 9)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 2:
      text.resize(at);
      break;
    case 3:
      text.erase(at, length);
      break;
    case 4: {
      std::string inserted(1 + below(random, 8), '\0');
      for (char& c : inserted) c = static_cast<char>(random());
      text.insert(at, inserted);
      break;
    }
    case 5:
      text.insert(at, text.substr(at, length));
      break;
    case 6: {
      const std::string& other = corpus[below(random, corpus.size())];
      const std::size_t from = below(random, other.size() + 1);
      text = text.substr(0, at) + other.substr(from);
      break;
    }
    case 7: {
      // Numbers where length fields and extents break: signs, widths, overflow.
      constexpr std::uint64_t kEdges[] = {0,
                                          1,
                                          0x7F,
                                          0x80,
                                          0xFF,
                                          0x7FFF,
                                          0xFFFF,
                                          0x7FFFFFFF,
                                          0xFFFFFFFF,
                                          0x7FFFFFFFFFFFFFFF,
                                          0x8000000000000000,
                                          0xFFFFFFFFFFFFFFFF};
      const std::uint64_t edge = kEdges[below(random, std::size(kEdges))];
      const std::size_t width = std::min(std::size_t{1} << below(random, 4), text.size() - at);
      if (width > 0) std::memcpy(text.data() + at, &edge, width);
      break;
    }
    default: {
      constexpr const char* kWords[] = {
          "-1",  "18446744073709551616", "1e999", "\"", "'", "[", "{", "}", "]", ",", ":", "null",
          "nan", "\xEF\xBB\xBF",         "\r\n"};
      text.insert(at, kWords[below(random, std::size(kWords))]);
    }
  }
}

void run(const std::string& name, const std::string& input) {
  present_name = name;
  present_input = input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

}  // namespace

// One request for more than a gigabyte is a finding: the inputs are small. AddressSanitizer has an option for
// it.
#ifdef __SANITIZE_ADDRESS__
extern "C" const char* __asan_default_options() {
  return "max_allocation_size_mb=1024:allocator_may_return_null=0";
}
#else
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  if (size > std::size_t{1} << 30) {
    std::fprintf(stderr, "finding: an allocation of %zu bytes\n", size);
    std::abort();
  }
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new(std::size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
#endif

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " MUTATIONS FOLDER...\n";
    return 2;
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(last_words);
  std::signal(SIGABRT, on_signal);
  std::signal(SIGSEGV, on_signal);

  std::vector<std::string> names;
  for (int i = 2; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      if (entry.is_regular_file()) names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  std::vector<std::string> corpus;
  for (const std::string& name : names) {
    std::ifstream file(name, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    run(name, corpus.back());
  }
  if (corpus.empty()) {
    std::cerr << "the corpus is empty\n";
    return 2;
  }
  run("empty", "");

  const int mutations = std::atoi(argv[1]);
  for (int i = 0; i < mutations; ++i) {
    Random random(static_cast<std::uint64_t>(i));
    const std::size_t base = below(random, corpus.size());
    std::string input = corpus[base];
    for (std::size_t steps = 1 + below(random, 6); steps > 0; --steps) mutate(input, random, corpus);
    run("mutation " + std::to_string(i) + " of " + names[base], input);
  }
  std::cout << corpus.size() << " files and " << mutations << " mutations without a finding\n";
  return 0;
}
