# Compiler settings of every target, as the interface library doppel_options.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_BUILD_RPATH ${CMAKE_BINARY_DIR})  # where programs of the build tree find the CUDA plugin
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
string(REPLACE "-O2" "-O3" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")  # assertions stay: they cost nothing measurable

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(doppel_options INTERFACE)
target_include_directories(doppel_options INTERFACE ${PROJECT_SOURCE_DIR})
# -ffp-contract=off: the bit law. The compiler must not fuse a multiply and an add that the source does not fuse.
target_compile_options(doppel_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -ffp-contract=off>)
add_library(alignment_checks INTERFACE)  # linked after doppel_options
if(DOPPEL_SANITIZE)
  # Half the time to compile of -O2 -g, still with lines in the reports; assertions stay. Checks that the address sanitizer
  # makes as well (of null, of an object's size and type) are left to it: a fifth of the time to compile. So are, but for
  # kernels, those of alignment, another fifth: other layers look at no memory as anything but what it is.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  target_compile_options(doppel_options INTERFACE -fsanitize=${DOPPEL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    -fno-sanitize=null,vptr,object-size,alignment)
  target_link_options(doppel_options INTERFACE -fsanitize=${DOPPEL_SANITIZE})
  target_compile_options(alignment_checks INTERFACE -fsanitize=alignment)
endif()
find_package(Threads REQUIRED)
target_link_libraries(doppel_options INTERFACE Threads::Threads)
