// The floor under a server: epoll, one thread, a constant answer to whatever ends in an empty line. No HTTP, no limits, no time-outs.
// bare_epoll PORT; prints `ready http://127.0.0.1:PORT`.
//
// PROGRAM(bare_epoll, "", "")
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nHello, world!";

static void serve(int fd)
{
	char in[16384];
	ssize_t n = recv(fd, in, sizeof in, 0);
	if (n <= 0) {
		if (n == 0)
			close(fd);
		return;
	}
	if (n >= 4 && !memcmp(in + n - 4, "\r\n\r\n", 4) && send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0)
		close(fd);
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0, one = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof addr;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&addr, len) || listen(listener, 1024) || getsockname(listener, (struct sockaddr *)&addr, &len)) {
		perror("listen");
		return 5;
	}
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener}, batch[128];
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
	printf("ready http://127.0.0.1:%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, batch, 128, -1);
		for (int i = 0; i < n; i++) {
			int fd = batch[i].data.fd;
			if (fd != listener) {
				serve(fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				ev = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
			}
		}
	}
}
