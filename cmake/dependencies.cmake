# Every library we stand on; README.md says why each. All come from the distribution's packages.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
set(EMER_YAML_CPP_VERSION "${yaml-cpp_VERSION}")
if(NOT TARGET yaml-cpp::yaml-cpp)  # before 0.8 the target has no namespace
  add_library(emer_yaml_cpp INTERFACE)
  target_link_libraries(emer_yaml_cpp INTERFACE yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS emer_yaml_cpp)
endif()

# OpenBLAS with OpenMP threads shares one pool with our own loops; the pthread build would fight it for the cores.
find_library(EMER_OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-openmp REQUIRED
             PATHS /usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/openblas-openmp)
find_path(EMER_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp openblas REQUIRED)
find_library(EMER_LAPACKE_LIBRARY lapacke REQUIRED)
find_path(EMER_LAPACKE_INCLUDE lapacke.h REQUIRED)
add_library(emer_blas INTERFACE)
target_link_libraries(emer_blas INTERFACE ${EMER_OPENBLAS_LIBRARY} ${EMER_LAPACKE_LIBRARY})
target_include_directories(emer_blas SYSTEM INTERFACE ${EMER_OPENBLAS_INCLUDE} ${EMER_LAPACKE_INCLUDE})

if(EMER_CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()
if(EMER_TESTS)
  find_package(GTest REQUIRED)
endif()
