#include "kernels/cpu/conv_block_onednn.h"

#ifdef EMER_WITH_ONEDNN

#include <dnnl.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/conv_block_parts.h"
#include "kernels/cpu/openmp_threads.h"
#include "kernels/cpu/plan_cache.h"

namespace emer::cpu {

namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

dnnl::engine& engine() {
  static dnnl::engine one(dnnl::engine::kind::cpu, 0);
  return one;
}

// A primitive, and how its weights pass from and to our order. Executed by any number of threads at once: all that it
// writes is the caller's.
template <class Convolution>
struct Plan {
  Convolution run;
  dnnl::reorder move_weights;  // from ours, or for the gradient: to ours, added
  Desc x, y, weight, bias;     // of the primitive; or of their gradients
  Desc our_weight;
  Desc scratch, move_scratch;
};
using ForwardPlan = Plan<dnnl::convolution_forward>;
using DataPlan = Plan<dnnl::convolution_backward_data>;
using WeightsPlan = Plan<dnnl::convolution_backward_weights>;

struct Problem {
  Desc x, y, weight, bias, our_weight;
  dnnl::memory::dims ones = {1, 1};
  dnnl::primitive_attr attributes;

  // Images as they lie in memory: other formats are no faster (bench/results) and would be brought there and back.
  Problem(const ConvShape& s, int images) {
    const auto type = dnnl::memory::data_type::f32;
    x = Desc({images, s.in, s.height, s.width}, type, Tag::nhwc);
    y = Desc({images, s.out, s.height, s.width}, type, Tag::nhwc);
    weight = Desc({s.out, s.in, 3, 3}, type, Tag::any);
    our_weight = Desc({s.out, s.in, 3, 3}, type, Tag::ohwi);
    bias = Desc({s.out}, type, Tag::x);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  }
  dnnl::convolution_forward::primitive_desc forward() const {
    // The ReLU stays out: oneDNN's swallows NaN.
    return {{dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, x, weight, bias, y, ones,
             ones, ones},
            attributes,
            engine()};
  }
};

template <class Convolution>
void set_move(Plan<Convolution>& plan, const Desc& from, const Desc& to, bool add) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::reorder::primitive_desc move(engine(), from, engine(), to, attributes);
  plan.move_weights = dnnl::reorder(move);
  plan.move_scratch = move.scratchpad_desc();
}

// x and y: what the primitive takes for the images on either side, gradients or not.
template <class Convolution, class Description>
Plan<Convolution> plan_of(const Problem& problem, const Description& pd, const Desc& x, const Desc& y,
                          const Desc& weight) {
  return {.run = Convolution(pd),
          .move_weights = {},
          .x = x,
          .y = y,
          .weight = weight,
          .bias = problem.bias,
          .our_weight = problem.our_weight,
          .scratch = pd.scratchpad_desc(),
          .move_scratch = {}};
}

ForwardPlan forward_plan(const ConvShape& shape, int images) {
  const Problem problem(shape, images);
  const auto pd = problem.forward();
  auto plan =
      plan_of<dnnl::convolution_forward>(problem, pd, pd.src_desc(), pd.dst_desc(), pd.weights_desc());
  set_move(plan, plan.our_weight, plan.weight, false);
  return plan;
}

DataPlan data_plan(const ConvShape& shape, int images) {
  const Problem problem(shape, images);
  const dnnl::convolution_backward_data::primitive_desc pd(
      {dnnl::algorithm::convolution_direct, problem.x, problem.weight, problem.y, problem.ones, problem.ones,
       problem.ones},
      problem.attributes, engine(), problem.forward());
  auto plan = plan_of<dnnl::convolution_backward_data>(problem, pd, pd.diff_src_desc(), pd.diff_dst_desc(),
                                                       pd.weights_desc());
  set_move(plan, plan.our_weight, plan.weight, false);
  return plan;
}

WeightsPlan weights_plan(const ConvShape& shape, int images) {
  const Problem problem(shape, images);
  const dnnl::convolution_backward_weights::primitive_desc pd(
      {dnnl::algorithm::convolution_direct, problem.x, problem.weight, problem.bias, problem.y, problem.ones,
       problem.ones, problem.ones},
      problem.attributes, engine(), problem.forward());
  auto plan = plan_of<dnnl::convolution_backward_weights>(problem, pd, pd.src_desc(), pd.diff_dst_desc(),
                                                          pd.diff_weights_desc());
  set_move(plan, plan.weight, plan.our_weight, true);
  return plan;
}

// A plan's key: the shape without what only our loops see, the number of images, the threads it was cut for.
using Key = std::array<int, 6>;

// Null where oneDNN has no such convolution. 64 plans: the six blocks of an encoder take at most two each way.
template <class PlanType, PlanType (*make)(const ConvShape&, int)>
std::shared_ptr<const PlanType> plan_for(const ConvShape& s, std::int64_t images) {
  static PlanCache<Key, PlanType> cache(64);
  const Key key{static_cast<int>(images), s.height, s.width, s.in, s.out, omp_get_max_threads()};
  return cache.get(key, [&]() -> std::shared_ptr<const PlanType> {
    try {
      return std::make_shared<const PlanType>(make(s, static_cast<int>(images)));
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_unimplemented) return nullptr;
      throw;
    }
  });
}
constexpr auto forward_plan_for = plan_for<ForwardPlan, forward_plan>;
constexpr auto data_plan_for = plan_for<DataPlan, data_plan>;
constexpr auto weights_plan_for = plan_for<WeightsPlan, weights_plan>;

float* scratch_of(Context& ctx, const Desc& desc) {
  return desc.get_size() == 0 ? nullptr : ctx.scratch<float>((desc.get_size() + 3) / 4);
}

// Memory objects do not write through what they are given as inputs.
dnnl::memory memory(const Desc& desc, const float* data) {
  return dnnl::memory(desc, engine(), const_cast<float*>(data));
}

void execute(const dnnl::primitive& primitive, const std::unordered_map<int, dnnl::memory>& arguments) {
  dnnl::stream stream(engine());
  primitive.execute(stream, arguments);
  stream.wait();
}

template <class PlanType>
void move_weights(Context& ctx, const PlanType& plan, const Desc& from_desc, const float* from,
                  const Desc& to_desc, float* to) {
  ArenaScope scope(ctx);
  execute(plan.move_weights,
          {{DNNL_ARG_FROM, memory(from_desc, from)},
           {DNNL_ARG_TO, memory(to_desc, to)},
           {DNNL_ARG_SCRATCHPAD, memory(plan.move_scratch, scratch_of(ctx, plan.move_scratch))}});
}

// The weights in the plan's order. Plans of one block may differ in it, by their number of images.
template <class PlanType>
const float* weights_in_order_of(Context& ctx, const PlanType& plan, const float* weight) {
  if (plan.weight == plan.our_weight) return weight;
  float* packed = scratch_of(ctx, plan.weight);
  move_weights(ctx, plan, plan.our_weight, weight, plan.weight, packed);
  return packed;
}

// Of z: forward's part of a thread's cache; backward's, for all threads together, bounds what scratch takes.
constexpr std::int64_t kForwardBytes = 1 << 20;
constexpr std::int64_t kBackwardBytes = 32 << 20;

// Images whose z takes so much: what one call of oneDNN is given, at least one and at most `most`.
std::int64_t images_per_call(const ConvShape& s, std::int64_t bytes, std::int64_t most) {
  const std::int64_t per_image = std::int64_t{4} * s.height * s.width * s.out;
  return std::max<std::int64_t>(std::min(bytes / per_image, most), 1);
}

template <class Body>
auto with_onednn(const char* op, Body&& body) {
  const OpenmpThreads threads(thread_count());
  try {
    return body();
  } catch (const dnnl::error& error) {
    fail(ErrorKind::kRunFailed, "{}: oneDNN failed: {}", op, error.message);
  }
}

}  // namespace

bool conv_onednn_forward(Context& ctx, const ConvBlockForward<float>& a) {
  return with_onednn("conv block", [&] {
    const ConvShape& s = a.shape;
    const std::int64_t places = std::int64_t{s.height} * s.width, z_size = places * s.out;
    // Every thread takes images of its own through convolution and pool, z in its cache; all threads together take those
    // that are left over.
    const int threads = omp_get_max_threads();
    const std::int64_t left = s.n % threads, shared = s.n - left;
    const std::int64_t chunk = images_per_call(s, kForwardBytes, shared / threads);
    std::shared_ptr<const ForwardPlan> own, rest, together;
    {
      const OpenmpThreads one(1);
      own = shared == 0 ? nullptr : forward_plan_for(s, chunk);
      rest = shared == 0 || shared % chunk == 0 ? own : forward_plan_for(s, shared % chunk);
    }
    together = left == 0 ? nullptr : forward_plan_for(s, left);
    if ((shared > 0 && (own == nullptr || rest == nullptr)) || (left > 0 && together == nullptr))
      return false;

    ArenaScope scope(ctx);
    const auto run = [&](const ForwardPlan& plan, const float* weight, std::int64_t first,
                         std::int64_t images, float* z, float* scratch) {
      float* to = s.pool ? z : a.y + first * z_size;
      execute(plan.run, {{DNNL_ARG_SRC, memory(plan.x, a.x + first * places * s.in)},
                         {DNNL_ARG_WEIGHTS, memory(plan.weight, weight)},
                         {DNNL_ARG_BIAS, memory(plan.bias, a.bias)},
                         {DNNL_ARG_DST, memory(plan.y, to)},
                         {DNNL_ARG_SCRATCHPAD, memory(plan.scratch, scratch)}});
      finish_forward(a, first, images, to);
    };
    if (shared > 0) {
      const float* weight = weights_in_order_of(ctx, *own, a.weight);
      const float* rest_weight =
          rest->weight == own->weight ? weight : weights_in_order_of(ctx, *rest, a.weight);
      std::vector<float*> z, scratch;
      for (int t = 0; t < threads; ++t) {
        z.push_back(s.pool ? ctx.scratch<float>(static_cast<std::size_t>(chunk * z_size)) : nullptr);
        scratch.push_back(
            ctx.scratch<float>(std::max(own->scratch.get_size(), rest->scratch.get_size()) / 4 + 1));
      }
      parallel_for(shared, chunk, [&](std::int64_t first, std::int64_t end) {
        const OpenmpThreads one(1);
        const auto t = static_cast<std::size_t>(threads == 1 ? 0 : omp_get_thread_num());
        const bool full = end - first == chunk;
        run(full ? *own : *rest, full ? weight : rest_weight, first, end - first, z[t], scratch[t]);
      });
    }
    if (left > 0) {
      float* z = s.pool ? ctx.scratch<float>(static_cast<std::size_t>(left * z_size)) : nullptr;
      run(*together, weights_in_order_of(ctx, *together, a.weight), shared, left, z,
          scratch_of(ctx, together->scratch));
    }
    return true;
  });
}

bool conv_onednn_backward(Context& ctx, const ConvBlockBackward<float>& a) {
  return with_onednn("conv block backward", [&] {
    const ConvShape& s = a.shape;
    const std::int64_t places = std::int64_t{s.height} * s.width,
                       chunk = std::max<std::int64_t>(images_per_call(s, kBackwardBytes, s.n),
                                                      std::min(s.n, omp_get_max_threads()));
    const bool even = s.n % chunk == 0;
    const auto whole = weights_plan_for(s, chunk);
    const auto rest = even ? whole : weights_plan_for(s, s.n % chunk);
    const auto whole_data = a.dx == nullptr ? nullptr : data_plan_for(s, chunk);
    const auto rest_data = a.dx == nullptr || even ? whole_data : data_plan_for(s, s.n % chunk);
    if (whole == nullptr || rest == nullptr) return false;
    if (a.dx != nullptr && (whole_data == nullptr || rest_data == nullptr)) return false;

    ArenaScope scope(ctx);
    float* dz = ctx.scratch<float>(static_cast<std::size_t>(chunk * places * s.out));
    float* d_bias = ctx.scratch<float>(static_cast<std::size_t>(s.out));
    const float* weight = a.dx == nullptr ? nullptr : weights_in_order_of(ctx, *whole_data, a.weight);
    for (std::int64_t first = 0; first < s.n; first += chunk) {
      ArenaScope call_scope(ctx);
      const std::int64_t images = std::min<std::int64_t>(chunk, s.n - first);
      start_backward(a, first, images, dz);
      const WeightsPlan& plan = images == chunk ? *whole : *rest;
      float* d_weight = scratch_of(ctx, plan.weight);
      execute(plan.run, {{DNNL_ARG_SRC, memory(plan.x, a.x + first * places * s.in)},
                         {DNNL_ARG_DIFF_DST, memory(plan.y, dz)},
                         {DNNL_ARG_DIFF_WEIGHTS, memory(plan.weight, d_weight)},
                         {DNNL_ARG_DIFF_BIAS, memory(plan.bias, d_bias)},
                         {DNNL_ARG_SCRATCHPAD, memory(plan.scratch, scratch_of(ctx, plan.scratch))}});
      move_weights(ctx, plan, plan.weight, d_weight, plan.our_weight, a.d_weight);
      for (int o = 0; o < s.out; ++o) a.d_bias[o] += d_bias[o];
      if (a.dx == nullptr) continue;
      const DataPlan& data = images == chunk ? *whole_data : *rest_data;
      if (data.weight != whole_data->weight) weight = weights_in_order_of(ctx, data, a.weight);
      execute(data.run, {{DNNL_ARG_DIFF_SRC, memory(data.x, a.dx + first * places * s.in)},
                         {DNNL_ARG_DIFF_DST, memory(data.y, dz)},
                         {DNNL_ARG_WEIGHTS, memory(data.weight, weight)},
                         {DNNL_ARG_SCRATCHPAD, memory(data.scratch, scratch_of(ctx, data.scratch))}});
    }
    return true;
  });
}

}  // namespace emer::cpu

#else

namespace emer::cpu {

bool conv_onednn_forward(Context&, const ConvBlockForward<float>&) {
  return false;
}
bool conv_onednn_backward(Context&, const ConvBlockBackward<float>&) {
  return false;
}

}  // namespace emer::cpu

#endif
