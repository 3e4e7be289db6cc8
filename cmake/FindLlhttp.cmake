# FindLlhttp - the HTTP parser, as target Llhttp::Llhttp.
# Prefers the library (Debian 13: libllhttp-dev); falls back to the C sources that the package node-llhttp ships
# (Debian 12), compiled here into a static library.
include(FindPackageHandleStandardArgs)

find_path(Llhttp_INCLUDE_DIR llhttp.h PATH_SUFFIXES llhttp)
find_library(Llhttp_LIBRARY llhttp)
find_path(Llhttp_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
if(Llhttp_SOURCE_DIR AND NOT (Llhttp_INCLUDE_DIR AND Llhttp_LIBRARY))
  find_path(Llhttp_SOURCE_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp NO_DEFAULT_PATH)
endif()

if(Llhttp_INCLUDE_DIR AND Llhttp_LIBRARY)
  set(Llhttp_FROM ${Llhttp_LIBRARY})
  if(NOT TARGET Llhttp::Llhttp)
    add_library(Llhttp::Llhttp UNKNOWN IMPORTED)
    set_target_properties(Llhttp::Llhttp PROPERTIES IMPORTED_LOCATION ${Llhttp_LIBRARY}
                          INTERFACE_INCLUDE_DIRECTORIES ${Llhttp_INCLUDE_DIR})
  endif()
elseif(Llhttp_SOURCE_DIR AND Llhttp_SOURCE_INCLUDE_DIR)
  set(Llhttp_FROM ${Llhttp_SOURCE_DIR})
  if(NOT TARGET Llhttp::Llhttp)
    add_library(llhttp_from_source STATIC ${Llhttp_SOURCE_DIR}/api.c ${Llhttp_SOURCE_DIR}/http.c
                                          ${Llhttp_SOURCE_DIR}/llhttp.c)
    target_include_directories(llhttp_from_source SYSTEM PUBLIC ${Llhttp_SOURCE_INCLUDE_DIR})
    target_compile_options(llhttp_from_source PRIVATE -w)
    add_library(Llhttp::Llhttp ALIAS llhttp_from_source)
  endif()
endif()
find_package_handle_standard_args(Llhttp REQUIRED_VARS Llhttp_FROM
  REASON_FAILURE_MESSAGE "install libllhttp-dev (Debian 13) or node-llhttp (Debian 12)")
