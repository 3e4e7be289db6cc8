/* server.h - the server child: takes generations from the supervisor, runs the workers, drains. SHELL. */
#ifndef INGRESS_SERVER_H
#define INGRESS_SERVER_H

/* server_run - the child's whole life. ipc_fd is its end of the pair (ipc.h). Returns the exit status. */
int server_run(int ipc_fd);

#endif
