// core/cuda/nccl_api.h against NVIDIA's own header, and against the library, where this machine has them.
#include <gtest/gtest.h>

#if defined(EMER_WITH_CUDA) && __has_include(<nccl.h>)
#include <nccl.h>

#include "core/cuda/nccl_api.h"
#include "core/cuda/nccl_communicator.h"
#include "tests/support/same_declaration.h"

namespace emer::cuda {
namespace {

TEST(NcclApi, FunctionsAreThoseOfTheHeader) {
  const NcclApi ours;
#define EMER_NCCL_COMPARE(Result, name, parameters) \
  EXPECT_TRUE(test::alike(ours.name, &::nccl##name)) << #name;
  EMER_NCCL_FUNCTIONS(EMER_NCCL_COMPARE)
#undef EMER_NCCL_COMPARE
}

TEST(NcclApi, ValuesAreThoseOfTheHeader) {
  EXPECT_EQ(int{kNcclSuccess}, int{ncclSuccess});
  EXPECT_EQ(int{kNcclInvalidArgument}, int{ncclInvalidArgument});
  EXPECT_EQ(int{kNcclRemoteError}, int{ncclRemoteError});
  EXPECT_EQ(int{kNcclInProgress}, int{ncclInProgress});
  EXPECT_EQ(int{kNcclInt64}, int{ncclInt64});
  EXPECT_EQ(int{kNcclFloat32}, int{ncclFloat32});
  EXPECT_EQ(int{kNcclFloat64}, int{ncclFloat64});
  EXPECT_EQ(int{kNcclSum}, int{ncclSum});
  EXPECT_EQ(sizeof(NcclUniqueId), sizeof(ncclUniqueId));
  EXPECT_EQ(sizeof(NcclId::bytes), sizeof(ncclUniqueId));
}

TEST(NcclApi, TheConfigurationBeginsAsTheHeaders) {
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  const NcclConfig ours;
  EXPECT_EQ(ours.magic, theirs.magic);
  EXPECT_EQ(ours.version, static_cast<unsigned>(NCCL_VERSION(2, 14, 0)));
  EXPECT_EQ(offsetof(NcclConfig, size), offsetof(ncclConfig_t, size));
  EXPECT_EQ(offsetof(NcclConfig, magic), offsetof(ncclConfig_t, magic));
  EXPECT_EQ(offsetof(NcclConfig, version), offsetof(ncclConfig_t, version));
  EXPECT_EQ(offsetof(NcclConfig, blocking), offsetof(ncclConfig_t, blocking));
  EXPECT_LE(sizeof(NcclConfig), sizeof(ncclConfig_t));
}

TEST(NcclApi, AnInstalledLibraryHasThemAll) {
  const NcclApi& api = nccl_api();
  if (api.missing.find("is not installed") != std::string::npos) GTEST_SKIP() << api.missing;
  EXPECT_EQ(api.missing, "");
  EXPECT_EQ(nccl_status().substr(0, 2), "2.");
}

}  // namespace
}  // namespace emer::cuda

#else

TEST(NcclApi, FunctionsAreThoseOfTheHeader) {
  GTEST_SKIP() << "no nccl.h, or a build without CUDA";
}

#endif
