/* whoami: a small web server that tells who answered, byte for byte as containous/whoami does: host name, the addresses of every interface,
 * the client's address, and the request in the form that Go's Request.Write gives it (Host, User-Agent, then the other headers by name).
 * Also /health (GET its status, POST a new one), /bench ("1"), ?wait=DURATION. One thread, one epoll loop, a few kB a connection.
 *
 * Built statically with whatever C compiler there is (see src/cli/demo-images.ts): nothing here beyond C99, POSIX and epoll. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HEAD = 64 * 1024, MAX_BODY = 1024 * 1024, MAX_HEADERS = 100, MAX_ADDRESSES = 256, EVENTS = 256 };

struct buffer {
  char *data;
  size_t used, size;
};

struct connection {
  int fd;
  int closing;            /* no more requests: close once everything is written */
  int continued;          /* "100 Continue" was sent for the request being read */
  long long due;          /* a request waits (?wait=) until then, in ms; 0 when none does */
  char peer[INET6_ADDRSTRLEN + IF_NAMESIZE + 16];
  struct buffer in, out;
  size_t written;         /* of out */
  struct connection *prev, *next; /* the list of those that wait */
};

struct header {
  char *name, *value;
};

struct request {
  char *method, *target;
  int old;                /* HTTP/1.0 */
  int close;
  const char *host, *agent;
  struct header headers[MAX_HEADERS];
  int count;
  const char *body;
  size_t length;
  int has_length;
};

static volatile sig_atomic_t stopped;
static const char *given_name = "";
static int health = 200;
static struct connection *waiting;
static int epoll;

static void on_signal(int signal) { (void)signal; stopped = 1; }

static void fail(const char *what) {
  fprintf(stderr, "whoami: %s: %s\n", what, strerror(errno));
  exit(1);
}

static long long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Room for `more` bytes and a closing NUL. Out of memory ends the process: its container is then replaced. */
static void reserve(struct buffer *b, size_t more) {
  size_t size = b->size ? b->size : 1024;
  while (size < b->used + more + 1) size *= 2;
  if (size == b->size) return;
  b->data = realloc(b->data, size);
  if (!b->data) fail("no memory");
  b->size = size;
}

static void append(struct buffer *b, const char *data, size_t n) {
  reserve(b, n);
  if (n > 0) memcpy(b->data + b->used, data, n);
  b->used += n;
}

static void print(struct buffer *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  reserve(b, (size_t)n);
  va_start(args, format);
  vsnprintf(b->data + b->used, (size_t)n + 1, format, args);
  va_end(args);
  b->used += (size_t)n;
}

static void drop(struct buffer *b) {
  free(b->data);
  memset(b, 0, sizeof *b);
}

/* Addresses in interface order, within an interface IPv4 first, as the kernel lists them. */
struct address {
  unsigned interface;
  int family, order;
  char text[INET6_ADDRSTRLEN];
};

static int by_interface(const void *a, const void *b) {
  const struct address *x = a, *y = b;
  if (x->interface != y->interface) return x->interface < y->interface ? -1 : 1;
  if (x->family != y->family) return x->family == AF_INET ? -1 : 1;
  return x->order - y->order;
}

static void print_addresses(struct buffer *b) {
  static struct address found[MAX_ADDRESSES];
  struct ifaddrs *list, *i;
  int n = 0;
  if (getifaddrs(&list) != 0) return;
  for (i = list; i && n < MAX_ADDRESSES; i = i->ifa_next) {
    if (!i->ifa_addr || !i->ifa_name) continue;
    int family = i->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const void *at = family == AF_INET ? (const void *)&((struct sockaddr_in *)i->ifa_addr)->sin_addr
                                       : (const void *)&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
    struct address *a = &found[n];
    if (!inet_ntop(family, at, a->text, sizeof a->text)) continue;
    a->interface = if_nametoindex(i->ifa_name);
    a->family = family;
    a->order = n++;
  }
  freeifaddrs(list);
  qsort(found, (size_t)n, sizeof found[0], by_interface);
  for (int k = 0; k < n; k++) print(b, "IP: %s\n", found[k].text);
}

/* "user-agent" -> "User-Agent", as Go keeps header names. */
static void canonical(char *name) {
  int upper = 1;
  for (; *name; name++) {
    *name = (char)(upper ? toupper((unsigned char)*name) : tolower((unsigned char)*name));
    upper = *name == '-';
  }
}

static int by_name(const void *a, const void *b) {
  const struct header *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order ? order : (x->value < y->value ? -1 : 1); /* equal names stay in the order they came in */
}

static int has_token(const char *value, const char *token) {
  size_t n = strlen(token);
  while (*value) {
    while (*value == ' ' || *value == ',') value++;
    size_t len = strcspn(value, " ,");
    if (len == n && strncasecmp(value, token, n) == 0) return 1;
    value += len;
  }
  return 0;
}

/* Reads the head, which ends at `end`, in place. Returns 0, or the HTTP status that refuses it. */
static int parse(char *head, char *end, struct request *r) {
  memset(r, 0, sizeof *r);
  *end = 0;
  char *line = head, *next = strpbrk(line, "\r\n");
  if (next) { if (*next == '\r') *next++ = 0; if (*next == '\n') *next++ = 0; }
  char *space = strchr(line, ' '), *last = strrchr(line, ' ');
  if (!space || space == last || space == line) return 400;
  *space = *last = 0;
  r->method = line;
  r->target = space + 1;
  if (strncmp(last + 1, "HTTP/1.", 7) != 0) return 505;
  r->old = last[8] == '0';
  r->close = r->old;
  if (*r->target != '/' && strncmp(r->target, "http://", 7) != 0 && strcmp(r->target, "*") != 0) return 400;
  if (strncmp(r->target, "http://", 7) == 0) {
    char *slash = strchr(r->target + 7, '/');
    r->target = slash ? slash : (char *)"/";
  }
  for (line = next; line && *line; line = next) {
    next = strchr(line, '\n');
    if (next) { if (next > line && next[-1] == '\r') next[-1] = 0; *next++ = 0; }
    char *colon = strchr(line, ':');
    if (!colon || colon == line || r->count == MAX_HEADERS) return colon ? 431 : 400;
    *colon = 0;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (char *e = value + strlen(value); e > value && (e[-1] == ' ' || e[-1] == '\t');) *--e = 0;
    canonical(line);
    if (strpbrk(line, " \t")) return 400;
    if (strcmp(line, "Host") == 0) { r->host = value; continue; }
    if (strcmp(line, "User-Agent") == 0) { r->agent = value; continue; }
    if (strcmp(line, "Transfer-Encoding") == 0) return 411; /* a body must tell its length */
    if (strcmp(line, "Content-Length") == 0) {
      char *rest;
      errno = 0;
      unsigned long long length = strtoull(value, &rest, 10);
      if (errno || *rest || rest == value || *value == '-') return 400;
      if (length > MAX_BODY) return 413;
      r->length = (size_t)length;
      r->has_length = 1;
      continue;
    }
    if (strcmp(line, "Connection") == 0) {
      if (has_token(value, "close")) r->close = 1;
      else if (r->old && has_token(value, "keep-alive")) r->close = 0;
    }
    r->headers[r->count].name = line;
    r->headers[r->count++].value = value;
  }
  if (!r->host && !r->old) return 400;
  return 0;
}

static const char *reason(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 411: return "Length Required";
    case 413: return "Request Entity Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

static void respond(struct connection *c, const struct request *r, int status, const struct buffer *body) {
  char date[64];
  time_t t = time(NULL);
  struct tm tm;
  gmtime_r(&t, &tm);
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  print(&c->out, "HTTP/1.%d %d %s\r\nDate: %s\r\nContent-Length: %zu\r\n", r && r->old ? 0 : 1, status, reason(status), date, body->used);
  if (body->used > 0) print(&c->out, "Content-Type: text/plain; charset=utf-8\r\n");
  if (c->closing) print(&c->out, "Connection: close\r\n");
  else if (r && r->old) print(&c->out, "Connection: keep-alive\r\n");
  append(&c->out, "\r\n", 2);
  if (!r || strcmp(r->method, "HEAD") != 0) append(&c->out, body->data, body->used);
}

static void describe(const struct connection *c, struct request *r, struct buffer *b) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  if (*given_name) print(b, "Name: %s\n", given_name);
  print(b, "Hostname: %s\n", host);
  print_addresses(b);
  print(b, "RemoteAddr: %s\n", c->peer);
  print(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r->method, r->target, r->host ? r->host : "");
  if (!r->agent || *r->agent) print(b, "User-Agent: %s\r\n", r->agent ? r->agent : "Go-http-client/1.1");
  if (r->length > 0 || (r->has_length && (strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0)))
    print(b, "Content-Length: %zu\r\n", r->length);
  int said = 0;
  qsort(r->headers, (size_t)r->count, sizeof r->headers[0], by_name);
  for (int i = 0; i < r->count; i++) said |= strcmp(r->headers[i].name, "Connection") == 0 && has_token(r->headers[i].value, "close");
  if (r->close && !said) print(b, "Connection: close\r\n");
  for (int i = 0; i < r->count; i++) print(b, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
  print(b, "\r\n");
  append(b, r->body, r->length);
}

static void answer(struct connection *c, struct request *r) {
  struct buffer body = {0};
  int status = 200;
  size_t path = strcspn(r->target, "?");
  if (path == 7 && strncmp(r->target, "/health", 7) == 0) {
    if (strcmp(r->method, "POST") == 0) {
      char text[16] = "";
      memcpy(text, r->body, r->length < sizeof text - 1 ? r->length : sizeof text - 1);
      int wanted = atoi(text);
      if (wanted >= 200 && wanted <= 599) health = wanted;
      else status = 400;
    } else status = health;
  } else if (path == 6 && strncmp(r->target, "/bench", 6) == 0) append(&body, "1", 1);
  else describe(c, r, &body);
  if (r->close) c->closing = 1;
  respond(c, r, status, &body);
  drop(&body);
}

/* ?wait=300ms, ?wait=2s, ?wait=1m: milliseconds, 0 when there is no such thing. */
static long long wait_of(const char *target) {
  const char *query = strchr(target, '?');
  while (query && strncmp(query + 1, "wait=", 5) != 0) query = strchr(query + 1, '&');
  if (!query) return 0;
  char *unit;
  double n = strtod(query + 6, &unit);
  double ms = strncmp(unit, "ms", 2) == 0 ? n : *unit == 's' ? n * 1000 : *unit == 'm' ? n * 60000 : *unit == 'h' ? n * 3600000 : 0;
  return ms > 0 && ms < 86400000 ? (long long)ms : 0;
}

static void unlist(struct connection *c) {
  if (!c->due) return;
  if (c->prev) c->prev->next = c->next;
  else waiting = c->next;
  if (c->next) c->next->prev = c->prev;
  c->prev = c->next = NULL;
}

static void enlist(struct connection *c, long long due) {
  c->due = due;
  c->prev = NULL;
  c->next = waiting;
  if (waiting) waiting->prev = c;
  waiting = c;
}

static void hang_up(struct connection *c) {
  unlist(c);
  close(c->fd); /* takes it out of epoll as well */
  drop(&c->in);
  drop(&c->out);
  free(c);
}

static void refuse(struct connection *c, int status) {
  struct buffer body = {0};
  print(&body, "%d %s", status, reason(status));
  c->closing = 1;
  respond(c, NULL, status, &body);
  drop(&body);
}

/* Answers the whole requests in the input, one after the other; stops at one that is not whole, must wait, or is the last.
 * The head is parsed in a copy: while a request waits or lacks its body, its bytes stay as they came. */
static void serve(struct connection *c, int waited) {
  while (!c->closing && c->in.used > 0) {
    c->in.data[c->in.used] = 0;
    size_t skip = strspn(c->in.data, "\r\n"); /* empty lines before a request are to be ignored: RFC 9112, 2.2 */
    char *start = c->in.data + skip;
    size_t have = c->in.used - skip;
    char *end = memmem(start, have, "\r\n\r\n", 4);
    size_t mark = 4;
    if (!end) { end = memmem(start, have, "\n\n", 2); mark = 2; }
    if (!end) {
      if (have > MAX_HEAD) refuse(c, 431);
      return;
    }
    size_t head = (size_t)(end - start);
    if (head > MAX_HEAD || memchr(start, 0, head)) { refuse(c, head > MAX_HEAD ? 431 : 400); return; }
    char *copy = malloc(head + 1);
    if (!copy) fail("no memory");
    memcpy(copy, start, head);
    struct request r;
    int status = parse(copy, copy + head, &r);
    if (status) { free(copy); refuse(c, status); return; }
    if (have < head + mark + r.length) {
      for (int i = 0; i < r.count && !c->continued; i++) {
        if (strcmp(r.headers[i].name, "Expect") == 0 && strcasecmp(r.headers[i].value, "100-continue") == 0) {
          print(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
          c->continued = 1;
        }
      }
      free(copy);
      return;
    }
    long long wait = waited ? 0 : wait_of(r.target);
    waited = 0;
    if (wait) { enlist(c, now_ms() + wait); free(copy); return; }
    r.body = end + mark;
    answer(c, &r);
    free(copy);
    c->continued = 0;
    size_t used = skip + head + mark + r.length;
    memmove(c->in.data, c->in.data + used, c->in.used - used);
    c->in.used -= used;
  }
  if (c->in.used == 0) drop(&c->in); /* an idle connection holds no buffers */
}

/* Writes what can be written now; hangs up when that was the last. Returns 0 when the connection is gone. */
static int flush_out(struct connection *c) {
  while (c->written < c->out.used) {
    ssize_t n = send(c->fd, c->out.data + c->written, c->out.used - c->written, MSG_NOSIGNAL);
    if (n > 0) { c->written += (size_t)n; continue; }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    hang_up(c);
    return 0;
  }
  int done = c->written == c->out.used;
  if (done) { drop(&c->out); c->written = 0; }
  if (done && c->closing) {
    shutdown(c->fd, SHUT_WR); /* unread input would turn close() into a reset that overtakes the answer */
    char rest[4096];
    while (recv(c->fd, rest, sizeof rest, 0) > 0) {}
    hang_up(c);
    return 0;
  }
  /* While an answer cannot be written, or a request waits, nothing more is read from this client. */
  struct epoll_event e = {.events = (done ? (c->due ? 0 : EPOLLIN) : EPOLLOUT) | EPOLLRDHUP * (done && c->due), .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
  return 1;
}

static void on_event(struct connection *c, unsigned events) {
  if (c->due && !(events & EPOLLOUT)) { hang_up(c); return; } /* only its end is listened for while it waits */
  if (events & EPOLLOUT) {
    if (!flush_out(c) || c->out.used > 0 || c->due) return;
    serve(c, 0); /* requests that came together with the one just answered */
    flush_out(c);
    return;
  }
  reserve(&c->in, 4096);
  ssize_t n = recv(c->fd, c->in.data + c->in.used, c->in.size - c->in.used - 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) { hang_up(c); return; }
  c->in.used += (size_t)n;
  serve(c, 0);
  flush_out(c);
}

static void describe_peer(struct connection *c, const struct sockaddr_in6 *from) {
  char text[INET6_ADDRSTRLEN], zone[IF_NAMESIZE];
  if (from->sin6_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    snprintf(c->peer, sizeof c->peer, "%s:%d", text, ntohs(v4->sin_port));
  } else if (IN6_IS_ADDR_V4MAPPED(&from->sin6_addr)) {
    inet_ntop(AF_INET, from->sin6_addr.s6_addr + 12, text, sizeof text);
    snprintf(c->peer, sizeof c->peer, "%s:%d", text, ntohs(from->sin6_port));
  } else {
    inet_ntop(AF_INET6, &from->sin6_addr, text, sizeof text);
    const char *name = from->sin6_scope_id ? if_indextoname(from->sin6_scope_id, zone) : NULL;
    snprintf(c->peer, sizeof c->peer, "[%s%s%s]:%d", text, name ? "%" : "", name ? name : "", ntohs(from->sin6_port));
  }
}

static void on_clients(int listener, int *spare) {
  for (;;) {
    struct sockaddr_in6 from;
    socklen_t size = sizeof from;
    int fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && *spare >= 0) {
      /* Out of descriptors: without this the waiting client would wake the loop for ever. It gets a closed connection. */
      close(*spare);
      fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
      if (fd >= 0) close(fd);
      *spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
      continue;
    }
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = calloc(1, sizeof *c);
    if (!c) fail("no memory");
    c->fd = fd;
    describe_peer(c, &from);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) hang_up(c);
  }
}

static int listen_on(int port) {
  int on = 1, off = 0;
  struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&any6, sizeof any6) == 0 && listen(fd, 4096) == 0) return fd;
    if (errno == EADDRINUSE || errno == EACCES) fail("cannot listen");
    close(fd);
  }
  fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); /* no IPv6 here */
  if (fd < 0) fail("no socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&any4, sizeof any4) != 0 || listen(fd, 4096) != 0) fail("cannot listen");
  return fd;
}

/* Serves those whose wait is over; returns how long until the next one, -1 when nobody waits. */
static int serve_waiting(void) {
  long long now = now_ms(), first = -1;
  struct connection *c = waiting, *next;
  for (; c; c = next) {
    next = c->next;
    if (c->due > now) {
      if (first < 0 || c->due < first) first = c->due;
      continue;
    }
    unlist(c);
    c->due = 0;
    serve(c, 1);
    if (flush_out(c) && c->due && (first < 0 || c->due < first)) first = c->due;
  }
  return first < 0 ? -1 : (int)(first - now);
}

int main(int argc, char **argv) {
  int port = 80;
  if (getenv("WHOAMI_PORT_NUMBER")) port = atoi(getenv("WHOAMI_PORT_NUMBER"));
  if (getenv("WHOAMI_NAME")) given_name = getenv("WHOAMI_NAME");
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *flag = argv[i] + strspn(argv[i], "-");
    if (strcmp(flag, "port") == 0) port = atoi(argv[i + 1]);
    else if (strcmp(flag, "name") == 0) given_name = argv[i + 1];
  }
  struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
  sigset_t blocked, open_mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, &open_mask); /* delivered only inside epoll_pwait: none is missed */
  sigaction(SIGTERM, &stop, NULL);
  sigaction(SIGINT, &stop, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  int listener = listen_on(port), spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("no epoll");
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) != 0) fail("epoll");
  fprintf(stderr, "Starting up on port %d\n", port);
  while (!stopped) {
    int n = epoll_pwait(epoll, events, EVENTS, serve_waiting(), &open_mask);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) on_event(events[i].data.ptr, events[i].events);
      else on_clients(listener, &spare);
    }
    if (n < 0 && errno != EINTR) fail("epoll");
  }
  return 0;
}
