# Other people's libraries as imported targets dep::NAME. cmake/setup.sh installs them all: Debian's packages, and in the
# folder .deps (a Python virtual environment) Arrow with Parquet from the wheel pyarrow and oneDNN from its own wheels.
set(DOPPEL_DEPS ${PROJECT_SOURCE_DIR}/.deps CACHE PATH "Virtual environment that cmake/setup.sh makes")

function(dep_header name header)  # a header-only library
  find_path(${name}_INCLUDE_DIR ${header} REQUIRED)
  add_library(dep::${name} INTERFACE IMPORTED)
  target_include_directories(dep::${name} SYSTEM INTERFACE ${${name}_INCLUDE_DIR})
endfunction()
function(dep_library name header library)
  dep_header(${name} ${header})
  find_library(${name}_LIBRARY ${library} REQUIRED)
  target_link_libraries(dep::${name} INTERFACE ${${name}_LIBRARY})
endfunction()

dep_header(json nlohmann/json.hpp)
dep_header(cli11 CLI/CLI.hpp)
dep_header(mustache kainjow/mustache.hpp)
dep_library(xxhash xxhash.h xxhash)
dep_library(highway hwy/highway.h hwy)
find_library(highway_contrib_LIBRARY hwy_contrib REQUIRED)
target_link_libraries(dep::highway INTERFACE ${highway_contrib_LIBRARY})
dep_library(xgboost xgboost/c_api.h xgboost)
dep_library(png png.h png)
find_library(zlib_LIBRARY z REQUIRED)  # libpng-dev brings it
target_link_libraries(dep::png INTERFACE ${zlib_LIBRARY})
dep_library(lapack lapacke.h openblas)
find_library(lapacke_LIBRARY lapacke REQUIRED)
target_link_libraries(dep::lapack INTERFACE ${lapacke_LIBRARY})

file(GLOB pyarrow_dir ${DOPPEL_DEPS}/lib/python3*/site-packages/pyarrow)
if(NOT pyarrow_dir)
  message(FATAL_ERROR "Arrow is not in ${DOPPEL_DEPS}: run bash cmake/setup.sh first")
endif()
file(STRINGS ${pyarrow_dir}/include/arrow/util/config.h so_line REGEX "define ARROW_SO_VERSION")
string(REGEX MATCH "[0-9]+" arrow_so "${so_line}")
foreach(name arrow arrow_compute parquet)
  add_library(dep::${name} SHARED IMPORTED)
  set_target_properties(dep::${name} PROPERTIES
    IMPORTED_LOCATION ${pyarrow_dir}/lib${name}.so.${arrow_so} IMPORTED_SONAME lib${name}.so.${arrow_so}
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${pyarrow_dir}/include INTERFACE_INCLUDE_DIRECTORIES ${pyarrow_dir}/include)
endforeach()
target_link_libraries(dep::parquet INTERFACE dep::arrow)

set(dnnl_library ${DOPPEL_DEPS}/lib/libdnnl.so.3)
if(NOT EXISTS ${dnnl_library})
  message(FATAL_ERROR "oneDNN is not in ${DOPPEL_DEPS}: run bash cmake/setup.sh first")
endif()
add_library(dep::dnnl SHARED IMPORTED)
set_target_properties(dep::dnnl PROPERTIES IMPORTED_LOCATION ${dnnl_library} IMPORTED_SONAME libdnnl.so.3
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${DOPPEL_DEPS}/include INTERFACE_INCLUDE_DIRECTORIES ${DOPPEL_DEPS}/include)
target_link_libraries(dep::dnnl INTERFACE gomp)  # its threads, whose number we choose
