# The CUDA backend: compiled whenever nvcc is found.
include(CheckLanguage)
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
  message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER}")
else()
  message(STATUS "CUDA backend: no nvcc found, CPU only")
endif()
