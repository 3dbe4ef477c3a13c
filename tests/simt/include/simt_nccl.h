// tests/simt/include/simt_nccl.h - the harness's stand-in for NCCL 2, looked up by name as the library is: what the
// engine calls of it, for ranks that are threads of one process. Answered by tests/simt/nccl.cpp.
//
// Kinder than the library: ranks may share the one device, and a call waits for the others' on the host. Stricter: it
// takes non-blocking communicators only, answers every call with ncclInProgress first and refuses another one until it
// has been asked for the end, sums in a ring's order, and wants arrays that are the same or apart.
#pragma once

namespace emer::simt {

// Whether libnccl.so.2 is to be found; true at start.          EMER_SIMT_NO_NCCL=1
bool nccl_installed();
// How long a call waits for the other ranks before its stream hangs for good, until its communicator is aborted. A call
// whose partner has been aborted is an ncclRemoteError at once. 60 s at start.
void set_nccl_patience(double seconds);
// The address of a function of the library; null where the stand-in has none of that name.
void* nccl_symbol(const char* name);

}  // namespace emer::simt
