#include "engine/environment.h"

#include <sys/utsname.h>

#include "core/build_info.h"
#include "core/check.h"
#include "core/cuda/nccl_communicator.h"
#include "core/device.h"
#include "core/parallel.h"
#include "core/ranks/launch_environment.h"
#include "kernels/conv_block.h"

namespace emer {

namespace {

std::string nccl_facts() {
  if constexpr (kWithCuda) return nccl_status();
  return "not built in";
}

std::string launch_facts() {
  try {
    const LaunchEnvironment env = launch_environment();
    if (env.ranks == 1) return name_of(env.kind);
    return fmt::format("{}, rank {} of {}", name_of(env.kind), env.rank, env.ranks);
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

nlohmann::json environment_facts(const Communicator& ranks) {
  const DeviceReport devices = report_devices();
  std::string why;
  choose_device("auto", &why);
  utsname system{};
  uname(&system);
  return {{"version", version()},
          {"git_hash", git_hash()},
          {"build", build_facts()},
          {"cpu", cpu_name()},
          {"threads", thread_count()},
          {"cuda",
           {{"status", devices.cuda_status},
            {"devices", devices.cuda_devices},
            {"runtime", devices.cuda_runtime},
            {"driver", devices.cuda_driver},
            {"cudnn", conv_library_status()},
            {"nccl", nccl_facts()}}},
          {"device", why},
          {"communicator", ranks.name()},
          {"ranks", ranks.size()},
          {"launch", launch_facts()},
          {"system", std::string(system.sysname) + " " + system.release}};
}

}  // namespace emer
