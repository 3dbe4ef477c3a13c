# Every library we stand on; README.md says why each. All come from the distribution's packages.
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
set(EMER_YAML_CPP_VERSION "${yaml-cpp_VERSION}")

if(EMER_PORTABLE)
  include(${CMAKE_CURRENT_LIST_DIR}/portable.cmake)
else()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  add_library(emer_openmp ALIAS OpenMP::OpenMP_CXX)
  add_library(emer_fmt ALIAS fmt::fmt)
  add_library(emer_yaml_cpp INTERFACE)
  if(TARGET yaml-cpp::yaml-cpp)
    target_link_libraries(emer_yaml_cpp INTERFACE yaml-cpp::yaml-cpp)
  else()  # before 0.8 the target has no namespace
    target_link_libraries(emer_yaml_cpp INTERFACE yaml-cpp)
  endif()
  # OpenBLAS with OpenMP threads shares one pool with our own loops; the pthread build would fight it for the cores.
  find_library(EMER_OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-openmp REQUIRED
               PATHS /usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/openblas-openmp)
  find_library(EMER_LAPACKE_LIBRARY lapacke REQUIRED)
  set(EMER_BLAS_LIBRARIES ${EMER_OPENBLAS_LIBRARY} ${EMER_LAPACKE_LIBRARY})
endif()

find_path(EMER_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp openblas REQUIRED)
find_path(EMER_LAPACKE_INCLUDE lapacke.h REQUIRED)
add_library(emer_blas INTERFACE)
target_link_libraries(emer_blas INTERFACE ${EMER_BLAS_LIBRARIES})
target_include_directories(emer_blas SYSTEM INTERFACE ${EMER_OPENBLAS_INCLUDE} ${EMER_LAPACKE_INCLUDE})

# Decoding of sound, archives, MIDI, and the CPU's convolutions: left out of the programs that travel, which compute
# on prepared data. Sources that need them are compiled with EMER_WITH_AUDIO, EMER_WITH_ONEDNN.
add_library(emer_audio_libraries INTERFACE)
add_library(emer_onednn INTERFACE)
if(NOT EMER_PORTABLE)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(EMER_FFMPEG REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil)
  pkg_check_modules(EMER_SOXR REQUIRED IMPORTED_TARGET soxr)
  pkg_check_modules(EMER_ZIP REQUIRED IMPORTED_TARGET libzip)
  pkg_check_modules(EMER_FLUIDSYNTH REQUIRED IMPORTED_TARGET fluidsynth)
  pkg_check_modules(EMER_ZLIB REQUIRED IMPORTED_TARGET zlib)
  target_link_libraries(emer_audio_libraries INTERFACE
    PkgConfig::EMER_FFMPEG PkgConfig::EMER_SOXR PkgConfig::EMER_ZIP PkgConfig::EMER_FLUIDSYNTH
    PkgConfig::EMER_ZLIB)
  target_compile_definitions(emer_audio_libraries INTERFACE EMER_WITH_AUDIO)
  find_library(EMER_ONEDNN_LIBRARY dnnl REQUIRED)  # its CMake package asks for OpenCL
  target_link_libraries(emer_onednn INTERFACE ${EMER_ONEDNN_LIBRARY})
  target_compile_definitions(emer_onednn INTERFACE EMER_WITH_ONEDNN)
endif()

# Support vector regression of the probes; a static archive goes into programs that travel.
set(EMER_LIBSVM_NAME svm)
if(EMER_PORTABLE)
  set(EMER_LIBSVM_NAME libsvm.a)
endif()
find_path(EMER_LIBSVM_INCLUDE libsvm/svm.h REQUIRED)
find_library(EMER_LIBSVM_LIBRARY NAMES ${EMER_LIBSVM_NAME} REQUIRED)
add_library(emer_libsvm INTERFACE)
target_link_libraries(emer_libsvm INTERFACE ${EMER_LIBSVM_LIBRARY})
target_include_directories(emer_libsvm SYSTEM INTERFACE ${EMER_LIBSVM_INCLUDE})

# Ranks over MPI; its C interface. Not in programs that travel: they meet over TCP.
add_library(emer_mpi INTERFACE)
if(NOT EMER_PORTABLE)
  find_package(MPI REQUIRED COMPONENTS CXX)
  target_link_libraries(emer_mpi INTERFACE MPI::MPI_CXX)
  target_compile_definitions(emer_mpi INTERFACE EMER_WITH_MPI OMPI_SKIP_MPICXX)
endif()

if(EMER_CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()
if(EMER_TESTS)
  find_package(GTest REQUIRED)
endif()
