# The CUDA backend: the plugin libdoppel_cuda.so (kernels/cuda/cuda_backend.h), compiled whenever nvcc is found. Its kernels
# run on the CPU in every test run (tests/simt).
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(STATUS "CUDA backend: no nvcc found, CPU only")
  return()
endif()
# A100 and H100, their binaries and, for anything newer, PTX. The preset "cuda" has them all, bench/gpu_check.sh the machine's.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # which CMake 3.25 does not know of nvcc
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
find_package(CUDAToolkit REQUIRED)
message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER} for ${CMAKE_CUDA_ARCHITECTURES}")

file(GLOB cuda_sources CONFIGURE_DEPENDS kernels/cuda/*.cu kernels/cuda/*.cpp)
list(FILTER cuda_sources EXCLUDE REGEX "/(load_backend|cudnn)\\.cpp$")
# Preparation that both backends share.
list(APPEND cuda_sources kernels/cpu/prepare_table.cpp kernels/cpu/prepare_mixture.cpp kernels/cpu/sobol.cpp
     kernels/cpu/check_table_sampler.cpp kernels/cpu/check_table_decoder.cpp kernels/cpu/prepare_bounded.cpp
     kernels/cpu/check_network.cpp kernels/cpu/prepare_images.cpp)
add_library(doppel_cuda MODULE ${cuda_sources})
target_link_libraries(doppel_cuda PRIVATE CUDA::cudart_static CUDA::cublas CUDA::cusolver)
set_target_properties(doppel_cuda PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF CUDA_RUNTIME_LIBRARY Static)
# The bit law on the device: no contraction of a multiply and an add, IEEE division and square root, denormals kept.
target_compile_options(doppel_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --prec-div=true --prec-sqrt=true --ftz=false -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas,-ffp-contract=off>)
set_target_properties(doppel_cuda PROPERTIES BUILD_RPATH "$ORIGIN" INSTALL_RPATH "$ORIGIN")  # finds the plugin below
compile_together(doppel_cuda)
set(cuda_plugins doppel_cuda)

# cuDNN's convolutions, a plugin of that plugin, libdoppel_cudnn.so (kernels/cuda/cudnn.h).
find_path(DOPPEL_CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(DOPPEL_CUDNN cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
if(DOPPEL_CUDNN_INCLUDE AND DOPPEL_CUDNN)
  add_library(doppel_cudnn MODULE kernels/cuda/cudnn.cpp)
  target_include_directories(doppel_cudnn SYSTEM PRIVATE ${DOPPEL_CUDNN_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(doppel_cudnn PRIVATE ${DOPPEL_CUDNN})
  add_dependencies(doppel_cuda doppel_cudnn)
  list(APPEND cuda_plugins doppel_cudnn)
else()
  message(STATUS "CUDA backend: no cuDNN found, images are convolved by products of patches")
endif()
foreach(plugin ${cuda_plugins})
  target_link_libraries(${plugin} PRIVATE doppel_options)
  target_link_options(${plugin} PRIVATE -Wl,-z,defs)  # what is missing is an error of the build, not of a machine with a device
  target_compile_definitions(${plugin} PRIVATE DOPPEL_VERSION="${PROJECT_VERSION}")
  set_target_properties(${plugin} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} INSTALL_RPATH_USE_LINK_PATH ON)  # finds NVIDIA's libraries where they were linked
endforeach()
install(TARGETS ${cuda_plugins} LIBRARY DESTINATION lib)
