# One target a room, with the rooms and libraries that it may use; nothing else is on its path to
# link. tools/check_layers.py checks the includes against docs/architecture.md.

# glmoe_room(NAME SOURCES files... DEPS rooms... LIBS libraries...): without SOURCES every NAME/**/*.cc
function(glmoe_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/kernels/cuda/")
  if(ROOM_SOURCES)
    set(sources ${ROOM_SOURCES})
  endif()
  if(sources)
    add_library(glmoe_${name} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(glmoe_${name} PRIVATE glmoe_flags)
  else()
    add_library(glmoe_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(glmoe_${name} ${scope}
    ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  foreach(dep ${ROOM_DEPS})
    target_link_libraries(glmoe_${name} ${scope} glmoe_${dep})
  endforeach()
  if(ROOM_LIBS)
    target_link_libraries(glmoe_${name} ${scope} ${ROOM_LIBS})
  endif()
endfunction()

# glmoe_room_tests(NAME ROOM room LABELS labels... DEPS rooms...): tests/NAME/*_test.cc as one
# program. ROOM: where it is not NAME.
function(glmoe_room_tests name)
  cmake_parse_arguments(T "" "ROOM;TIMEOUT" "LABELS;DEPS" ${ARGN})
  if(NOT T_ROOM)
    set(T_ROOM ${name})
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(GLMOE_SANITIZE)
    math(EXPR T_TIMEOUT "5 * ${T_TIMEOUT}")  # sanitizers cost up to twenty times the time
  endif()
  add_executable(${name}_test ${sources})
  target_link_libraries(${name}_test PRIVATE glmoe_flags glmoe_${T_ROOM} glmoe_test_support
    GTest::gmock GTest::gtest_main)
  foreach(dep ${T_DEPS})
    target_link_libraries(${name}_test PRIVATE glmoe_${dep})
  endforeach()
  if("unit" IN_LIST T_LABELS)
    add_dependencies(unit_tests ${name}_test)
  endif()
  gtest_discover_tests(${name}_test
    TEST_PREFIX "${name}."
    DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
endfunction()

# The CUDA side, only where GLMOE_CUDA_ENABLED.

# glmoe_cuda_kernels(): src/kernels/cuda/**/*.cu as glmoe_kernels_cuda, which the room gpu
# links. The runtime is linked statically and looks for a driver only when it is called, so
# the program starts on a machine without one.
function(glmoe_cuda_kernels)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda/*.cu)
  add_library(glmoe_kernels_cuda STATIC ${sources})
  set_target_properties(glmoe_kernels_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_include_directories(glmoe_kernels_cuda PUBLIC
    ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_include_directories(glmoe_kernels_cuda SYSTEM PRIVATE ${GLMOE_CUTLASS_DIR}/include)
  target_link_libraries(glmoe_kernels_cuda PRIVATE glmoe_flags PUBLIC CUDA::cudart_static
    CUDA::cublasLt)
endfunction()

# glmoe_cuda_program(NAME INCLUDE folder SOURCES sources...): a program of .cu files.
function(glmoe_cuda_program name)
  cmake_parse_arguments(P "" "INCLUDE" "SOURCES" ${ARGN})
  add_executable(${name} ${P_SOURCES})
  set_target_properties(${name} PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_include_directories(${name} PRIVATE ${P_INCLUDE})
  target_link_libraries(${name} PRIVATE glmoe_flags glmoe_kernels_cuda glmoe_device)
endfunction()
