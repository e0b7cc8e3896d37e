# Build options and the flags that every target shares.
set(GLMOE_CUDA "AUTO" CACHE STRING "Build the CUDA kernels: AUTO (where nvcc is found), ON or OFF")
set(GLMOE_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined or thread")
option(GLMOE_TESTS "Build the tests" ON)
option(GLMOE_BENCH "Build the micro-benchmarks" OFF)
option(GLMOE_FUZZ "Build the fuzz targets (needs clang)" OFF)
option(GLMOE_PYTHON "Build the Python module (needs nanobind: ./dev setup python)" OFF)
option(GLMOE_STATIC "Link everything but CUDA and the C library statically, for other hosts" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(GLMOE_CCACHE ccache)
if(GLMOE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GLMOE_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${GLMOE_CCACHE})
endif()

add_library(glmoe_flags INTERFACE)
target_compile_options(glmoe_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror=return-type>
  # Options are aggregates whose defaults stand in the header; callers name what they change.
  $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>
  # Results must not depend on which expression the compiler chose to contract.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
if(GLMOE_SANITIZE)
  target_compile_options(glmoe_flags INTERFACE
    -fsanitize=${GLMOE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  target_link_options(glmoe_flags INTERFACE -fsanitize=${GLMOE_SANITIZE})
endif()
if(GLMOE_FUZZ)
  target_compile_options(glmoe_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(GLMOE_STATIC)
  target_link_options(glmoe_flags INTERFACE -static-libstdc++ -static-libgcc)
endif()

set(GLMOE_CUDA_ENABLED OFF)
if(NOT GLMOE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES 90a)
    set(CMAKE_CUDA_STANDARD 20)
    enable_language(CUDA)
    # CMake 3.25 does not know how nvcc is asked for C++20.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    target_compile_options(glmoe_flags INTERFACE
      $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
    find_package(CUDAToolkit REQUIRED)
    set(GLMOE_CUDA_ENABLED ON)
  elseif(GLMOE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "GLMOE_CUDA=ON, but no nvcc was found: install the CUDA toolkit or set CUDACXX")
  endif()
endif()
message(STATUS "glmoe: CUDA kernels ${GLMOE_CUDA_ENABLED}, sanitizers '${GLMOE_SANITIZE}'")
