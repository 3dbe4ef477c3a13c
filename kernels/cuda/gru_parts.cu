#include "kernels/cuda/gru_parts.h"

#include "core/cuda/launch.h"
#include "kernels/cuda/gru_code.h"

namespace emer::cuda {

namespace {

// x rows in the order in which one direction reads them.
template <class Operand>
struct Gather {
  int n, max_steps, in;
  int direction;
  int first, count;  // steps
  const std::int32_t* lengths;
  const float* x;  // [n, T, in]
  Operand* to;     // [count * n, ld]
  std::int64_t ld;
};

// One thread per element of x in `to`; rows that have ended get 0, whatever x holds there.
template <class Operand>
__global__ void gru_gather_inputs(Gather<Operand> g) {
  const std::int64_t size = std::int64_t{g.count} * g.n * g.in, stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < size; e += stride) {
    const std::int64_t slot_row = e / g.in, k = e % g.in;
    const int row = static_cast<int>(slot_row % g.n), step = g.first + static_cast<int>(slot_row / g.n);
    const int length = gru_steps_of(g.lengths, row, g.max_steps);
    float x = 0.0f;
    if (step < length)
      x = g.x[(std::int64_t{row} * g.max_steps + gru_time(g.direction, step, length)) * g.in + k];
    store_operand(g.to + slot_row * g.ld + k, x);
  }
}

// [count * n, gru_operand_ld(in)] in scratch.
template <class Operand, class Args>
Operand* gather_inputs(Context& ctx, const Args& a, int direction, int first, int count) {
  const std::int64_t rows = std::int64_t{count} * a.n, ld = gru_operand_ld(a.sizes.in);
  Operand* to = ctx.scratch<Operand>(static_cast<std::size_t>(rows * ld));
  const Gather<Operand> g{.n = a.n,
                          .max_steps = a.sizes.max_steps,
                          .in = a.sizes.in,
                          .direction = direction,
                          .first = first,
                          .count = count,
                          .lengths = a.lengths,
                          .x = a.x,
                          .to = to,
                          .ld = ld};
  launch(ctx,
         {.name = "gru_gather_inputs", .grid = {blocks_for(rows * a.sizes.in)}, .block = kElementwiseBlock},
         gru_gather_inputs<Operand>, g);
  return to;
}

// One block per row blockIdx.x and direction blockIdx.y, one thread per unit.
__global__ void gru_collect_states(const float* states, std::int64_t units, float* y) {
  const std::int64_t row = blockIdx.x, d = blockIdx.y, rows = gridDim.x;
  for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x)
    y[(2 * row + d) * units + j] = states[(d * rows + row) * units + j];
}

// Two arrays of gridDim.x rows one behind the other, rows padded. One block per row blockIdx.x of array blockIdx.y, one
// thread per column.
template <class Operand>
__global__ void gru_pack_rows(const float* first, const float* second, std::int64_t columns, std::int64_t ld,
                              Operand* to) {
  const std::int64_t row = blockIdx.x;
  const float* from = blockIdx.y == 0 ? first : second;
  to += (blockIdx.y * std::int64_t{gridDim.x} + row) * ld;
  for (std::int64_t j = threadIdx.x; j < columns; j += blockDim.x)
    store_operand(to + j, from[row * columns + j]);
}

// [2][3H, gru_operand_ld(in)] in scratch.
template <class Operand>
Operand* pack_input_weights(Context& ctx, const GruWeights<float> weights[2], const GruSizes& sizes) {
  const std::int64_t ld = gru_operand_ld(sizes.in);
  Operand* to = ctx.scratch<Operand>(static_cast<std::size_t>(2 * 3 * sizes.hidden * ld));
  launch(ctx,
         {.name = "gru_pack_rows",
          .grid = {3 * static_cast<unsigned>(sizes.hidden), 2},
          .block = gru_row_threads(sizes.in)},
         gru_pack_rows<Operand>, weights[0].input_weight, weights[1].input_weight, std::int64_t{sizes.in}, ld,
         to);
  return to;
}

// Sums over rows and steps of the gradients in `gates`, and of their products with a narrow x.
struct ColumnSums {
  std::int64_t rows_of_part;  // rows of [T * n] that one block takes
  int parts;
  int terms;        // 1, or 1 + in where x is narrow
  double* partial;  // [2][parts][terms][columns]
  int columns;      // 4H, or 3H where the last block of the gates holds r * h
};

// One thread per column blockIdx.x * blockDim.x + threadIdx.x, part of the rows blockIdx.y and direction
// blockIdx.z.
template <class Operand>
__global__ void gru_sum_columns(GruBackward<float> a, ColumnSums s) {
  const int d = static_cast<int>(blockIdx.z),
            column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= s.columns) return;
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units),
                     all = std::int64_t{a.n} * a.sizes.max_steps, begin = blockIdx.y * s.rows_of_part,
                     end = begin + s.rows_of_part < all ? begin + s.rows_of_part : all;
  int row = static_cast<int>(begin % a.n), step = static_cast<int>(begin / a.n);
  const Operand* gates =
      gru_arrays<Operand>(of_direction(a.saved, d)).gates + column / units * ld + column % units;
  double sum[1 + kGruNarrowInput] = {};
  for (std::int64_t at = begin; at < end; ++at) {
    const int length = gru_steps_of(a.lengths, row, a.sizes.max_steps);
    if (step < length) {
      const double g = static_cast<double>(load_operand(gates + at * 4 * ld));
      sum[0] += g;
      if (s.terms > 1) {
        const float* x =
            a.x + (std::int64_t{row} * a.sizes.max_steps + gru_time(d, step, length)) * a.sizes.in;
#pragma unroll
        for (int k = 0; k < kGruNarrowInput; ++k)
          if (k < a.sizes.in) sum[1 + k] += g * static_cast<double>(x[k]);
      }
    }
    if (++row == a.n) {
      row = 0;
      ++step;
    }
  }
  double* to = s.partial + (std::int64_t{d} * s.parts + blockIdx.y) * s.terms * s.columns + column;
#pragma unroll
  for (int k = 0; k < 1 + kGruNarrowInput; ++k)
    if (k < s.terms) to[std::int64_t{k} * s.columns] = sum[k];
}

// One thread per column blockIdx.x * blockDim.x + threadIdx.x, term blockIdx.y and direction blockIdx.z.
__global__ void gru_add_column_sums(GruBackward<float> a, ColumnSums s) {
  const int d = static_cast<int>(blockIdx.z), term = static_cast<int>(blockIdx.y),
            column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= s.columns) return;
  double total = 0.0;
  for (int part = 0; part < s.parts; ++part)
    total += s.partial[((std::int64_t{d} * s.parts + part) * s.terms + term) * s.columns + column];
  const float sum = static_cast<float>(total);
  const int units = a.sizes.hidden, block = column / units, unit = column % units;
  const GruWeightGradients<float> to = of_direction(a.gradients, d);
  // Blocks c, z, r, U_h h of the gates; rows z, r, h of the parameters.
  const std::int64_t row = (block + 2) % 3 * std::int64_t{units} + unit;
  if (term > 0) {
    if (block < 3) to.input_weight[row * a.sizes.in + term - 1] += sum;
    return;
  }
  if (block < 3) to.bias[row] += sum;
  if (to.recurrent_bias != nullptr && block > 0)
    to.recurrent_bias[std::int64_t{block - 1} * units + unit] += sum;
}

template <class Operand>
void add_column_sums(Context& ctx, const GruBackward<float>& a) {
  const ArenaScope scope(ctx);
  constexpr std::int64_t kRowsOfPart = 256, kMostParts = 1024;
  const std::int64_t rows = std::int64_t{a.n} * a.sizes.max_steps;
  ColumnSums s{};
  s.rows_of_part = rows <= kRowsOfPart * kMostParts ? kRowsOfPart : (rows + kMostParts - 1) / kMostParts;
  s.parts = static_cast<int>((rows + s.rows_of_part - 1) / s.rows_of_part);
  s.terms = gru_narrow(a.sizes) ? 1 + a.sizes.in : 1;
  s.columns = (a.sizes.reset == GruReset::kAfter ? 4 : 3) * a.sizes.hidden;
  s.partial = ctx.scratch<double>(std::size_t{2} * static_cast<std::size_t>(s.parts) *
                                  static_cast<std::size_t>(s.terms) * static_cast<std::size_t>(s.columns));
  constexpr int kThreads = 128;
  const unsigned blocks = blocks_for(s.columns, kThreads);
  launch(ctx,
         {.name = "gru_sum_columns", .grid = {blocks, static_cast<unsigned>(s.parts), 2}, .block = kThreads},
         gru_sum_columns<Operand>, a, s);
  launch(
      ctx,
      {.name = "gru_add_column_sums", .grid = {blocks, static_cast<unsigned>(s.terms), 2}, .block = kThreads},
      gru_add_column_sums, a, s);
}

// dx from what either direction gave to the inputs of its steps.
struct Spread {
  int n, max_steps, in;
  const std::int32_t* lengths;
  const float* of_step[2];  // [T * n, in]
  float* dx;                // [n, T, in]
};

// One thread per element of dx.
__global__ void gru_spread_input_gradient(Spread s) {
  const std::int64_t size = std::int64_t{s.n} * s.max_steps * s.in,
                     stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < size; e += stride) {
    const std::int64_t k = e % s.in, place = e / s.in;
    const int row = static_cast<int>(place / s.max_steps), time = static_cast<int>(place % s.max_steps);
    const int length = gru_steps_of(s.lengths, row, s.max_steps);
    float sum = 0.0f;
    if (time < length) {
      const std::int64_t forward = std::int64_t{time} * s.n + row,
                         backward = std::int64_t{length - 1 - time} * s.n + row;
      sum = s.of_step[0][forward * s.in + k] + s.of_step[1][backward * s.in + k];
    }
    s.dx[e] = sum;
  }
}

template <class Operand>
void spread_input_gradient(Context& ctx, const GruBackward<float>& a) {
  const ArenaScope scope(ctx);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units), in = a.sizes.in,
                     in_ld = gru_operand_ld(in), rows = std::int64_t{a.n} * a.sizes.max_steps;
  const Operand* weights = pack_input_weights<Operand>(ctx, a.weights, a.sizes);
  Spread s{.n = a.n,
           .max_steps = a.sizes.max_steps,
           .in = a.sizes.in,
           .lengths = a.lengths,
           .of_step = {},
           .dx = a.dx};
  for (int d = 0; d < 2; ++d) {
    float* of_step = ctx.scratch<float>(static_cast<std::size_t>(rows * in));
    for (int gate = 0; gate < 3; ++gate)  // c, z, r; the weights' blocks are z, r, h
      matmul(ctx, {.m = rows,
                   .n = in,
                   .k = units,
                   .a = gru_arrays<Operand>(a.saved[d]).gates + gate * ld,
                   .lda = 4 * ld,
                   .b = weights + (d * 3 + (gate + 2) % 3) * units * in_ld,
                   .ldb = in_ld,
                   .beta = gate == 0 ? 0.0 : 1.0,
                   .c = of_step,
                   .ldc = in,
                   .input = gru_operand_type<Operand>(),
                   .precision = ctx.precision()});
    s.of_step[d] = of_step;
  }
  launch(ctx,
         {.name = "gru_spread_input_gradient", .grid = {blocks_for(rows * in)}, .block = kElementwiseBlock},
         gru_spread_input_gradient, s);
}

// to [gates * H, columns] += left' right over all steps and rows; left is `gates` gates side by side.
template <class Operand>
void add_product(Context& ctx, const GruBackward<float>& a, int gates, const Operand* left,
                 std::int64_t columns, const Operand* right, std::int64_t right_ld, float* to) {
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  Matmul p{.transpose_a = true,
           .m = gates * units,
           .n = columns,
           .k = std::int64_t{a.n} * a.sizes.max_steps,
           .a = left,
           .lda = 4 * ld,
           .b = right,
           .ldb = right_ld,
           .beta = 1.0,
           .c = to,
           .ldc = columns,
           .input = gru_operand_type<Operand>(),
           .precision = ctx.precision()};
  if (ld != units) {  // gaps between the gates
    p.m = units;
    p.batch = gates;
    p.stride_a = ld;
    p.stride_c = units * columns;
  }
  matmul(ctx, p);
}

template <class Operand>
void add_weight_gradients(Context& ctx, const GruBackward<float>& a, int d) {
  const ArenaScope scope(ctx);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units), in = a.sizes.in;
  const Operand *g = gru_arrays<Operand>(a.saved[d]).gates, *states = gru_arrays<Operand>(a.saved[d]).states;
  const GruWeightGradients<float>& to = a.gradients[d];
  if (a.sizes.reset == GruReset::kAfter) {
    add_product(ctx, a, 3, g + ld, units, states, ld, to.recurrent_weight);
  } else {
    add_product(ctx, a, 2, g + ld, units, states, ld, to.recurrent_weight);
    add_product(ctx, a, 1, g, units, g + 3 * ld, 4 * ld, to.recurrent_weight + 2 * units * units);
  }
  if (gru_narrow(a.sizes)) return;  // came with the sums over columns
  const Operand* x = gather_inputs<Operand>(ctx, a, d, 0, a.sizes.max_steps);
  add_product(ctx, a, 2, g + ld, in, x, gru_operand_ld(in), to.input_weight);
  add_product(ctx, a, 1, g, in, x, gru_operand_ld(in), to.input_weight + 2 * units * in);
}

template <class Operand>
void parameter_gradients(Context& ctx, const GruBackward<float>& a) {
  add_column_sums<Operand>(ctx, a);
  for (int d = 0; d < 2; ++d) add_weight_gradients<Operand>(ctx, a, d);
  if (a.dx != nullptr) spread_input_gradient<Operand>(ctx, a);
}

}  // namespace

template <class Operand>
void gru_project_inputs(Context& ctx, const GruForward<float>& a, int first, int count,
                        Operand* const gates[2]) {
  const ArenaScope scope(ctx);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units), in_ld = gru_operand_ld(a.sizes.in);
  const Operand* weights = pack_input_weights<Operand>(ctx, a.weights, a.sizes);
  for (int d = 0; d < 2; ++d) {
    const ArenaScope inner(ctx);
    const Operand* x = gather_inputs<Operand>(ctx, a, d, first, count);
    for (int gate = 0; gate < 3; ++gate)  // c, z, r; the weights' blocks are z, r, h
      matmul(ctx, {.transpose_b = true,
                   .m = std::int64_t{count} * a.n,
                   .n = units,
                   .k = a.sizes.in,
                   .a = x,
                   .lda = in_ld,
                   .b = weights + (d * 3 + (gate + 2) % 3) * units * in_ld,
                   .ldb = in_ld,
                   .c = gates[d] + gate * ld,
                   .ldc = 4 * ld,
                   .input = gru_operand_type<Operand>(),
                   .output = gru_operand_type<Operand>(),
                   .precision = ctx.precision()});
  }
}

void gru_collect(Context& ctx, const GruForward<float>& a, const float* states) {
  launch(ctx,
         {.name = "gru_collect_states",
          .grid = {static_cast<unsigned>(a.n), 2},
          .block = gru_row_threads(a.sizes.hidden)},
         gru_collect_states, states, std::int64_t{a.sizes.hidden}, a.y);
}

void gru_parameter_gradients(Context& ctx, const GruBackward<float>& a) {
  if (ctx.precision() == Precision::kBf16)
    parameter_gradients<Bf16Bits>(ctx, a);
  else
    parameter_gradients<float>(ctx, a);
}

template <class Operand>
void gru_pack_recurrent(Context& ctx, const GruWeights<float> weights[2], int hidden, Operand* to) {
  launch(ctx,
         {.name = "gru_pack_rows",
          .grid = {3 * static_cast<unsigned>(hidden), 2},
          .block = gru_row_threads(hidden)},
         gru_pack_rows<Operand>, weights[0].recurrent_weight, weights[1].recurrent_weight,
         std::int64_t{hidden}, gru_operand_ld(hidden), to);
}

template void gru_project_inputs(Context&, const GruForward<float>&, int, int, float* const[2]);
template void gru_project_inputs(Context&, const GruForward<float>&, int, int, Bf16Bits* const[2]);
template void gru_pack_recurrent(Context&, const GruWeights<float>[2], int, float*);
template void gru_pack_recurrent(Context&, const GruWeights<float>[2], int, Bf16Bits*);

}  // namespace emer::cuda
