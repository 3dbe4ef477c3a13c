// From a launch call to a kernel that runs, or is recorded: the limits a device checks.
#include "tests/simt/device.h"

namespace emer::simt {

namespace {

thread_local const char* t_next_name = nullptr;

cudaError_t read_attributes(const cudaLaunchConfig_t& config, LaunchSpec& spec) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    switch (attribute.id) {
      case cudaLaunchAttributeCooperative:
        spec.cooperative = attribute.val.cooperative != 0;
        break;
      case cudaLaunchAttributeClusterDimension:
        spec.cluster = {attribute.val.clusterDim.x, attribute.val.clusterDim.y, attribute.val.clusterDim.z};
        break;
      case cudaLaunchAttributeIgnore:
      case cudaLaunchAttributeClusterSchedulingPolicyPreference:
      case cudaLaunchAttributeProgrammaticStreamSerialization:
      case cudaLaunchAttributePriority:
        break;
      default:
        return cudaErrorInvalidValue;
    }
  }
  return cudaSuccess;
}

cudaError_t check_limits(const LaunchSpec& spec) {
  const dim3 &g = spec.grid, &b = spec.block, &c = spec.cluster;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 2147483647u || g.y > 65535 || g.z > 65535)
    return cudaErrorInvalidConfiguration;
  const auto threads = static_cast<std::uint64_t>(b.x) * b.y * b.z;
  if (threads == 0 || threads > kMostThreads || b.z > 64) return cudaErrorInvalidConfiguration;
  if (static_cast<std::uint64_t>(g.x) * g.y * g.z >= 0xfffffff0u)
    return cudaErrorNotSupported;  // of the harness
  if (spec.shared > kSharedOptIn || spec.shared > dynamic_limit(spec.call.kernel))
    return cudaErrorInvalidValue;
  const auto cluster = static_cast<std::uint64_t>(c.x) * c.y * c.z;
  if (cluster == 0 || cluster > 16 || g.x % c.x != 0 || g.y % c.y != 0 || g.z % c.z != 0)
    return cudaErrorInvalidConfiguration;
  if (spec.cooperative) {
    int per_multiprocessor = 0;
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, spec.call.kernel,
                                                  static_cast<int>(threads), spec.shared);
    const auto most =
        static_cast<std::uint64_t>(per_multiprocessor) * static_cast<std::uint64_t>(device().multiprocessors);
    if (static_cast<std::uint64_t>(g.x) * g.y * g.z > std::min<std::uint64_t>(most, kWindows))
      return cudaErrorCooperativeLaunchTooLarge;
  }
  return cudaSuccess;
}

}  // namespace

void name_next_launch(const char* name) {
  t_next_name = name;
}

cudaError_t launch(const cudaLaunchConfig_t& config, KernelCall call) {
  const Lock lock(runtime_lock());
  LaunchSpec spec;
  spec.grid = config.gridDim;
  spec.block = config.blockDim;
  spec.shared = config.dynamicSmemBytes;
  spec.name = t_next_name == nullptr ? "" : t_next_name;
  t_next_name = nullptr;
  spec.call = std::move(call);
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (spec.call.kernel == nullptr) return record_error(cudaErrorInvalidDeviceFunction);
  if (const cudaError_t error = read_attributes(config, spec); error != cudaSuccess)
    return record_error(error);
  if (const cudaError_t error = check_limits(spec); error != cudaSuccess) return record_error(error);
  return enqueue(config.stream, cudaGraphNodeTypeKernel, [spec = std::move(spec)] {
    Device& d = device();
    if (d.fail_in != 0 && --d.fail_in == 0) {
      d.lost = d.fail_with;  // the launch itself succeeds, as on a device: what comes after it does not
      return;
    }
    ++d.statistics.launches;
    run_kernel(spec);
  });
}

}  // namespace emer::simt
