# keelson_messages(name NAMESPACE a::b PREFIX include/path SCHEMAS … [API_TABLE])
#
# A library keelson_<name>, alias keelson::<name>, of the C++ that plugins/wire/codegen makes from
# schema files: "<prefix>/<schema>.h" each, "<prefix>/all_messages.h" and, with API_TABLE,
# "<prefix>/api_table.h". With tests on also keelson_<name>_testing: "<prefix>/testing/<schema>.h".

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(KEELSON_CODEGEN_DIR "${CMAKE_CURRENT_LIST_DIR}/../plugins/wire/codegen")
set(KEELSON_CODEGEN_OUT "${CMAKE_BINARY_DIR}/generated")

function(keelson_generate part prefix namespace schemas outputs)
  list(TRANSFORM outputs PREPEND "${KEELSON_CODEGEN_OUT}/${prefix}/")
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND ${Python3_EXECUTABLE} -B "${KEELSON_CODEGEN_DIR}/generate.py"
            --out "${KEELSON_CODEGEN_OUT}" --prefix "${prefix}" --namespace "${namespace}"
            ${part} ${schemas}
    DEPENDS ${schemas} "${KEELSON_CODEGEN_DIR}/generate.py" "${KEELSON_CODEGEN_DIR}/schema.py"
            "${KEELSON_CODEGEN_DIR}/fields.py" "${KEELSON_CODEGEN_DIR}/cpp.py"
            "${KEELSON_CODEGEN_DIR}/tables.py"
    VERBATIM)
endfunction()

function(keelson_messages name)
  cmake_parse_arguments(ARG "API_TABLE" "NAMESPACE;PREFIX" "SCHEMAS" ${ARGN})
  set(dir "${KEELSON_CODEGEN_OUT}/${ARG_PREFIX}")
  list(TRANSFORM ARG_SCHEMAS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")

  set(sources "${dir}/all_messages.h")
  set(testing_sources)
  keelson_generate(all ${ARG_PREFIX} ${ARG_NAMESPACE} "${ARG_SCHEMAS}"
                   "all_messages.h;testing/all_messages.h")
  if(ARG_API_TABLE)
    keelson_generate(api-table ${ARG_PREFIX} ${ARG_NAMESPACE} "${ARG_SCHEMAS}"
                     "api_table.h;api_table.cc")
    list(APPEND sources "${dir}/api_table.h" "${dir}/api_table.cc")
  endif()
  foreach(schema IN LISTS ARG_SCHEMAS)
    get_filename_component(stem "${schema}" NAME_WE)
    keelson_generate(messages ${ARG_PREFIX} ${ARG_NAMESPACE} "${schema}" "${stem}.h;${stem}.cc")
    list(APPEND sources "${dir}/${stem}.h" "${dir}/${stem}.cc")
    keelson_generate(testing ${ARG_PREFIX} ${ARG_NAMESPACE} "${schema}"
                     "testing/${stem}.h;testing/${stem}.cc")
    list(APPEND testing_sources "${dir}/testing/${stem}.h" "${dir}/testing/${stem}.cc")
  endforeach()

  add_library(keelson_${name} STATIC ${sources})
  add_library(keelson::${name} ALIAS keelson_${name})
  target_include_directories(keelson_${name} PUBLIC "${KEELSON_CODEGEN_OUT}")
  target_link_libraries(keelson_${name} PUBLIC keelson::wire)
  # The files are small and all include the same: compiled 16 at a time they take a quarter.
  set_target_properties(keelson_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
  if(KEELSON_TESTS)
    add_library(keelson_${name}_testing STATIC EXCLUDE_FROM_ALL ${testing_sources})
    add_library(keelson::${name}_testing ALIAS keelson_${name}_testing)
    target_link_libraries(keelson_${name}_testing PUBLIC keelson::${name})
    set_target_properties(keelson_${name}_testing PROPERTIES UNITY_BUILD ON
                          UNITY_BUILD_BATCH_SIZE 16)
  endif()
endfunction()
