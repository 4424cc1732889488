// What stands for an interpreter in a root of another processor (scripts/bare_root): started as PROGRAM it has the emulator
// run PROGRAM.emulated, which takes itself for PROGRAM, and so starts its children the same way.
#include <stdio.h>
#include <unistd.h>

int main(int count, char** given) {
  char name[256], real[300];
  const ssize_t length = readlink("/proc/self/exe", name, sizeof name - 1);
  if (length < 0) return 127;
  name[length] = 0;
  snprintf(real, sizeof real, "%s.emulated", name);
  char* command[count + 5];
  int put = 0;
  command[put++] = EMULATOR;
  command[put++] = "-0";
  command[put++] = name;
  command[put++] = real;
  for (int each = 1; each < count; ++each) command[put++] = given[each];
  command[put] = NULL;
  execv(command[0], command);
  return 127;
}
