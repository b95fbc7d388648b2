/*
 * What the bench sends from guest to guest, in pieces that are large enough for the network to be what takes the time.
 *   stream sink PORT              takes connection after connection, reads each to its end and closes it
 *   stream send ADDRESS PORT MIB  sends so much and waits for the other's end; prints milliseconds
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char piece[256 * 1024];

static struct sockaddr_in address(const char *ip, const char *port) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
	inet_pton(AF_INET, ip, &to.sin_addr);
	return to;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int sink(const char *port) {
	struct sockaddr_in at = address("0.0.0.0", port);
	int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 8)) return 1;
	for (;;) {
		int taken = accept(listener, NULL, NULL);
		while (read(taken, piece, sizeof piece) > 0) {
		}
		close(taken);
	}
}

static int sender(const char *ip, const char *port, long mib) {
	struct sockaddr_in to = address(ip, port);
	double begun = now();
	int out = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(out, (struct sockaddr *)&to, sizeof to)) return perror("connect"), 1;
	for (long left = mib * 1024 * 1024; left > 0;) {
		ssize_t sent = write(out, piece, left < (long)sizeof piece ? left : (long)sizeof piece);
		if (sent <= 0) return perror("write"), 1;
		left -= sent;
	}
	shutdown(out, SHUT_WR);
	if (read(out, piece, 1) != 0) return perror("the other's end"), 1;
	printf("%.3f\n", now() - begun);
	return 0;
}

int main(int count, char **words) {
	if (count == 3 && strcmp(words[1], "sink") == 0) return sink(words[2]);
	if (count == 5 && strcmp(words[1], "send") == 0) return sender(words[2], words[3], atol(words[4]));
	return fputs("stream sink PORT | stream send ADDRESS PORT MIB\n", stderr), 2;
}
