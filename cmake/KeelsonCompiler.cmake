# The compiler, its flags and its sanitizers.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR
    "GCC ${CMAKE_CXX_COMPILER_VERSION} miscompiles coroutines: it destroys twice what is built in "
    "an awaiting expression and skips the body of 'switch (co_await f())'. Use clang 19:\n"
    "  apt-get install clang-19 lld-19\n"
    "  cmake --preset release     (or: ./dev build)")
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
# Assertions stay on in every build: they guard against our own mistakes and cost little.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers
                    -Wno-gnu-zero-variadic-macro-arguments)
include(CheckLinkerFlag)
find_program(KEELSON_LLD NAMES ld.lld-19 ld.lld)
if(KEELSON_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=${KEELSON_LLD})
endif()

find_program(KEELSON_CCACHE ccache)
if(KEELSON_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${KEELSON_CCACHE}")
endif()

set(KEELSON_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them: address,undefined")
if(KEELSON_SANITIZE)
  add_compile_options(-fsanitize=${KEELSON_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KEELSON_SANITIZE})
endif()

option(KEELSON_COUNTERS "Count system calls, copies and allocations (engine/counters.h)" OFF)
if(KEELSON_COUNTERS)
  add_compile_definitions(KEELSON_COUNTERS)
endif()

include_directories("${CMAKE_SOURCE_DIR}")
