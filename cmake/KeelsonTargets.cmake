# keelson_library(name SOURCES … DEPS …)     one static library a folder, alias keelson::<name>
# keelson_test(name SOURCES … DEPS … [LABELS …] [TIMEOUT s])   one GoogleTest program, run by ctest
# keelson_fuzzer(name SOURCES … DEPS …)      one libFuzzer program

# Which test programs `./dev test` also runs under sanitizers. All would cost more time than a change
# has: address and undefined behaviour where foreign bytes are read and memory is handed around,
# threads where there are threads.
set(KEELSON_SANITIZED_TESTS
  connection_test coordination_coordinator_test frame_reader_test io_units_test kafka_header_test
  log_behaviour_test log_sim_test offsets_consumer_test offsets_coordinator_test offsets_group_test producer_history_test records_test
  registry_test single_replicator_test storage_test transactions_test wire_test)
set(KEELSON_THREADED_TESTS backend_conformance_test buffer_memory_test io_units_test runtime_test)
foreach(kind sanitized threaded)
  add_custom_target(${kind}_tests)
endforeach()

function(keelson_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(keelson_${name} STATIC ${ARG_SOURCES})
  add_library(keelson::${name} ALIAS keelson_${name})
  target_link_libraries(keelson_${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

function(keelson_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(name IN_LIST KEELSON_SANITIZED_TESTS)
    list(APPEND ARG_LABELS sanitized)
    add_dependencies(sanitized_tests ${name})
  endif()
  if(name IN_LIST KEELSON_THREADED_TESTS)
    list(APPEND ARG_LABELS threaded)
    add_dependencies(threaded_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

function(keelson_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
endfunction()
