#include "engine/environment.h"

#include <sys/utsname.h>

#include "core/build_info.h"
#include "core/communicator.h"
#include "core/device.h"
#include "core/parallel.h"
#include "kernels/conv_block.h"

namespace emer {

nlohmann::json environment_facts() {
  const DeviceReport devices = report_devices();
  std::string why;
  choose_device("auto", &why);
  const auto communicator = local_communicator();
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
            {"cudnn", conv_library_status()}}},
          {"device", why},
          {"communicator", communicator->name()},
          {"ranks", communicator->size()},
          {"system", std::string(system.sysname) + " " + system.release}};
}

}  // namespace emer
