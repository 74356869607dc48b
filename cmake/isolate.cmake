# Makes OUT from the static library RAW: one object in which only lsm_* can be seen.
#
# Two Rust archives of different compilers define the same symbols and cannot be linked into one
# program; after this they can. The names to keep are those that SHARED, made from the same RAW,
# exports. STRIP leaves debug information out.

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code ERROR_VARIABLE text)
  if(NOT code EQUAL 0)
    list(GET ARGN 0 tool)
    message(FATAL_ERROR "${tool} failed (${code}): ${text}")
  endif()
endfunction()

execute_process(COMMAND "${READELF}" --dyn-syms -W "${SHARED}" OUTPUT_VARIABLE symbols)
string(REGEX MATCHALL " lsm_[a-z0-9_]+@" names "${symbols}")
if(NOT names)
  message(FATAL_ERROR "${SHARED} exports no lsm_ function")
endif()
set(keep "")
foreach(name IN LISTS names)
  string(REGEX REPLACE "[ @]" "" name "${name}")
  list(APPEND keep -u "${name}")
endforeach()

set(strip "")
if(STRIP)
  set(strip --strip-debug)
endif()

# The compilers' bitcode goes too: where clang is installed, ar would try to read it.
run("${LD}" -r --gc-sections ${keep} "${RAW}" -o "${OUT}.whole.o")
run("${OBJCOPY}" --wildcard ${strip} -R .llvmbc -R .llvmcmd
    --redefine-sym rust_eh_personality=lsmer_rust_eh_personality
    --redefine-sym DW.ref.rust_eh_personality=DW.ref.lsmer_rust_eh_personality
    --keep-global-symbol=lsm_* --keep-global-symbol=DW.ref.lsmer_rust_eh_personality
    "${OUT}.whole.o" "${OUT}.o")
file(REMOVE "${OUT}")
run("${AR}" qcs "${OUT}" "${OUT}.o")
file(REMOVE "${OUT}.whole.o" "${OUT}.o")
