// Named steps at which the crash tests kill a process. In a normal build each is nothing at all.
#pragma once

#if defined(CONVEYOR_KILL_POINTS)
namespace conveyor {
// Called at each step; the test build decides by the name whether the process dies here.
void kill_point(const char* name);
}  // namespace conveyor
#define CONVEYOR_KILL_POINT(name) ::conveyor::kill_point(name)
#else
#define CONVEYOR_KILL_POINT(name) ((void)0)
#endif
