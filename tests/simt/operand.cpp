#include "tests/simt/operand.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/simt/runtime.h"

namespace emer::simt {

namespace {

// action(first byte, bytes) of each contiguous run.
template <class Action>
void for_each_run(const Operand& x, Part part, const Action& action) {
  const auto size = static_cast<std::int64_t>(element_size(x.type));
  const auto* bytes = static_cast<const std::byte*>(x.data);
  for (int matrix = 0; matrix < x.batch; ++matrix)
    for (std::int64_t line = 0; line < x.lines(); ++line) {
      const std::int64_t first = part == Part::kLower ? std::min(line, x.line_length()) : 0;
      const std::int64_t last = part == Part::kUpper ? std::min(line + 1, x.line_length()) : x.line_length();
      if (first < last)
        action(bytes + (matrix * x.stride + line * x.ld + first) * size,
               static_cast<std::size_t>((last - first) * size));
    }
}

float rounded_to(float value, int dropped_bits) {
  if (!std::isfinite(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t unit = 1u << dropped_bits, odd = bits >> dropped_bits & 1u;
  return std::bit_cast<float>((bits + unit / 2 - 1 + odd) & ~(unit - 1));
}

}  // namespace

std::size_t element_size(cudaDataType_t type) {
  return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

void check_read(const Operand& operand, Part part, const char* what) {
  for_each_run(operand, part,
               [&](const std::byte* first, std::size_t bytes) { check_read(first, bytes, what); });
}

void check_write(const Operand& operand, Part part, const char* what) {
  for_each_run(operand, part, [&](const std::byte* first, std::size_t bytes) {
    check_write(const_cast<std::byte*>(first), bytes, what);
  });
}

bool overlap(const Operand& one, const Operand& other) {
  std::vector<std::pair<const std::byte*, const std::byte*>> runs;
  for_each_run(one, Part::kAll,
               [&](const std::byte* first, std::size_t bytes) { runs.emplace_back(first, first + bytes); });
  std::sort(runs.begin(), runs.end());
  bool found = false;
  for_each_run(other, Part::kAll, [&](const std::byte* first, std::size_t bytes) {
    // The last run that begins before this one ends; runs of one operand are equally long.
    const auto after = std::lower_bound(runs.begin(), runs.end(), std::pair(first + bytes, first + bytes));
    found |= after != runs.begin() && std::prev(after)->second > first;
  });
  return found;
}

void scribble(void* workspace, std::size_t bytes, const char* what) {
  if (bytes == 0) return;
  check_write(workspace, bytes, what);
  std::memset(workspace, 0xFF, bytes);
}

bool recording(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone;
}

std::uint16_t bf16_from(float value) {
  if (std::isnan(value)) return 0x7FC0;
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded_to(value, 16)) >> 16);
}

float tf32_from(float value) {
  return rounded_to(value, 13);
}

}  // namespace emer::simt
