# Language level, warnings, sanitizers, and the function that makes one library of one folder.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -O3: the element-wise kernels are written for the vectoriser.
set(CMAKE_CXX_FLAGS_RELEASE "-O3")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(EMER_CCACHE ccache)
if(EMER_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${EMER_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${EMER_CCACHE})
endif()

if(EMER_CUDA)
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake knows this of nvcc only since 3.26
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(EMER_CUDA_COMPILER_TEXT "nvcc ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
else()
  set(EMER_CUDA_COMPILER_TEXT "not built in")
endif()

add_library(emer_settings INTERFACE)
target_compile_options(emer_settings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-align>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${EMER_WERROR}>>:-Werror>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${EMER_WERROR}>>:-Werror=all-warnings>
  # No fused multiply-add contraction across statements by surprise, no fast-math: results are part of the contract.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=on>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC bug 105651, gone in 13: "text" + std::string is reported as an overlapping copy.
  target_compile_options(emer_settings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(EMER_CPU_TARGET)
  target_compile_options(emer_settings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=${EMER_CPU_TARGET}>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
    # GCC holds back to 256 bits on many machines that have 512; without AVX-512 this changes nothing.
    target_compile_options(emer_settings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-mprefer-vector-width=512>)
  endif()
endif()
if(EMER_SANITIZE STREQUAL "thread")
  target_compile_options(emer_settings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread -fno-omit-frame-pointer>)
  target_link_options(emer_settings INTERFACE -fsanitize=thread)
  target_compile_definitions(emer_settings INTERFACE EMER_THREAD_SANITIZER)
elseif(EMER_SANITIZE STREQUAL "address" OR EMER_SANITIZE STREQUAL "ON")
  target_compile_options(emer_settings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(emer_settings INTERFACE -fsanitize=address,undefined)
elseif(EMER_SANITIZE)
  message(FATAL_ERROR "EMER_SANITIZE is '${EMER_SANITIZE}'; it must be address, thread or OFF")
endif()
if(EMER_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "EMER_FUZZ needs clang: use the cpu-fuzz preset")
  endif()
  target_compile_options(emer_settings INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(emer_settings INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(EMER_CUDA)
  target_compile_definitions(emer_settings INTERFACE EMER_WITH_CUDA)
endif()
if(EMER_CUDA_SYNC_CHECKS)
  target_compile_definitions(emer_settings INTERFACE EMER_CUDA_SYNC_CHECKS)
endif()

# What each folder may stand on. tests and bench may use everything.
set(EMER_BELOW_core "")
set(EMER_BELOW_kernels core)
set(EMER_BELOW_layers core kernels)
set(EMER_BELOW_losses core kernels)
set(EMER_BELOW_data core)
set(EMER_BELOW_engine core kernels layers losses data)
set(EMER_BELOW_bench core kernels layers losses data engine)

# emer_library(NAME SOURCES a.cpp … [CUDA_SOURCES b.cu …])
# One static library of this folder. At configure time every source and header of the folder is read, and an include
# of a folder that is not below it is a configure error: the build keeps the stairs one-way.
function(emer_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;CUDA_SOURCES" ${ARGN})
  set(sources ${ARG_SOURCES})
  if(EMER_CUDA)
    list(APPEND sources ${ARG_CUDA_SOURCES})
  endif()
  add_library(emer_${name} STATIC ${sources})
  # For the second build, of the CUDA side on the CPU: tests/simt/engine.
  list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE host_sources)
  list(TRANSFORM ARG_CUDA_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE cuda_sources)
  set_property(GLOBAL PROPERTY EMER_HOST_SOURCES_${name} "${host_sources}")
  set_property(GLOBAL PROPERTY EMER_CUDA_SOURCES_${name} "${cuda_sources}")
  add_library(emer::${name} ALIAS emer_${name})
  target_include_directories(emer_${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(emer_${name} PUBLIC emer_settings)
  foreach(below ${EMER_BELOW_${name}})
    if(TARGET emer::${below})  # a folder joins the build when it has something to build
      target_link_libraries(emer_${name} PUBLIC emer::${below})
    endif()
  endforeach()

  file(GLOB_RECURSE texts CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp
       ${CMAKE_CURRENT_SOURCE_DIR}/*.cuh ${CMAKE_CURRENT_SOURCE_DIR}/*.cu)
  foreach(text ${texts})
    file(STRINGS ${text} includes REGEX "^ *# *include *[<\"](core|kernels|layers|losses|data|engine|bench|tests)/")
    foreach(include ${includes})
      string(REGEX MATCH "[<\"]([a-z]+)/" _ "${include}")
      if(NOT CMAKE_MATCH_1 STREQUAL name AND NOT CMAKE_MATCH_1 IN_LIST EMER_BELOW_${name})
        message(FATAL_ERROR "${text}: ${name} must not include ${CMAKE_MATCH_1}/ (it may use: ${EMER_BELOW_${name}})")
      endif()
    endforeach()
  endforeach()
endfunction()
