# EMER_PORTABLE: programs that travel. Everything but libc, libm and CUDA's own libraries is linked from archives, and no
# path of this machine is left inside. Included by dependencies.cmake in place of the shared libraries.

# emer_archive(VARIABLE libx.a): where the archive lies; the compiler knows its own ones. Of OpenBLAS the OpenMP build,
# as in dependencies.cmake.
function(emer_archive variable name)
  find_library(EMER_ARCHIVE_${name} ${name} PATHS /usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/openblas-openmp
               NO_DEFAULT_PATH)
  set(path ${EMER_ARCHIVE_${name}})
  if(NOT path)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${name}
                    OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  if(NOT IS_ABSOLUTE "${path}")
    message(FATAL_ERROR "EMER_PORTABLE needs the archive ${name}")
  endif()
  set(${variable} ${path} PARENT_SCOPE)
endfunction()

add_library(emer_fmt ALIAS fmt::fmt-header-only)

emer_archive(yaml_cpp libyaml-cpp.a)
add_library(emer_yaml_cpp INTERFACE)
target_link_libraries(emer_yaml_cpp INTERFACE ${yaml_cpp})

emer_archive(gomp libgomp.a)
add_library(emer_openmp INTERFACE)
target_compile_options(emer_openmp INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
find_package(Threads REQUIRED)
target_link_libraries(emer_openmp INTERFACE ${gomp} Threads::Threads ${CMAKE_DL_LIBS})

emer_archive(EMER_OPENBLAS_LIBRARY libopenblas.a)
emer_archive(EMER_LAPACKE_LIBRARY liblapacke.a)
emer_archive(gfortran libgfortran.a)
emer_archive(quadmath libquadmath.a)
set(EMER_BLAS_LIBRARIES ${EMER_LAPACKE_LIBRARY} ${EMER_OPENBLAS_LIBRARY} ${gfortran} ${quadmath} ${gomp})

target_link_options(emer_settings INTERFACE -static-libstdc++ -static-libgcc)
set(CMAKE_SKIP_RPATH ON)
