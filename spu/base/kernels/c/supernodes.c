/* Factors of sparse symmetric matrices, P A P^T = L D L^T, and the entries of their inverse on the pattern.

   L is kept by supernodes, neighbouring columns with the same rows: one of w columns and r rows below them is a dense
   panel, (w + r) x w by columns, and its rows are kept once for all of its columns. Every sum is one chain of fused
   multiply-adds, in the order that the loops say, whatever the class of processor and however many right-hand sides. */
#include <stdlib.h>

enum { NONE = -1, WIDEST = 48, TALL = 8, WIDE = 4 };

/* An order of elimination that keeps L sparse: approximate minimum degree, in the quotient graph of Amestoy, Davis and
   Duff (SIAM J. Matrix Anal. Appl. 17:886, 1996). An eliminated node becomes an element, the clique of those that it
   joins; a variable is kept with the elements and the variables next to it. Whole numbers only: the order is the same
   on every machine. */

typedef struct {
    int64_t n;
    int64_t *lists, room, end; /* of all nodes, one behind the other */
    int64_t *start, *length;   /* (n,) of a node's list: elements first, then variables; of an element: variables */
    int64_t *elements;         /* (n,) how many of a variable's list are elements */
    int64_t *size;             /* (n,) variables that are one, 0 where it is part of another; below 0 while marked */
    int64_t *degree;           /* (n,) of a variable: bound of its degree; of an element: variables in it */
    int64_t *head, *next, *last; /* variables by degree, doubly linked */
    int64_t *mark;             /* (n,) 0 of a dead element */
    int64_t *bucket;           /* variables by hash of their lists */
    int64_t *parent;           /* (n,) what took a node in, or NONE */
} Graph;

static void unlink_variable(Graph *g, int64_t i) {
    int64_t after = g->next[i], before = g->last[i];
    if (after != NONE) g->last[after] = before;
    if (before != NONE) g->next[before] = after;
    else g->head[g->degree[i]] = after;
}

static void link_variable(Graph *g, int64_t i) {
    int64_t first = g->head[g->degree[i]];
    g->next[i] = first;
    g->last[i] = NONE;
    if (first != NONE) g->last[first] = i;
    g->head[g->degree[i]] = i;
}

/* Lists that are still read, moved together at the front. */
static void compact(Graph *g) {
    for (int64_t k = 0; k < g->n; k++)
        if (g->length[k] > 0) { /* its first entry makes room for its name */
            int64_t at = g->start[k];
            g->start[k] = g->lists[at];
            g->lists[at] = -k - 2;
        }
    int64_t to = 0;
    for (int64_t from = 0; from < g->end;) {
        int64_t name = -g->lists[from] - 2;
        if (name < 0) {
            from++;
            continue;
        }
        int64_t count = g->length[name];
        g->lists[to] = g->start[name];
        g->start[name] = to;
        memmove(g->lists + to + 1, g->lists + from + 1, (size_t)(count - 1) * sizeof(int64_t));
        to += count;
        from += count;
    }
    g->end = to;
}

static void take_in(Graph *g, int64_t i, int64_t *degree) {
    int64_t size = g->size[i];
    if (size <= 0) return;
    *degree += size;
    g->size[i] = -size;
    g->lists[g->end++] = i;
    unlink_variable(g, i);
}

/* The element that a variable becomes: all variables next to it, marked; its elements are part of it. */
static int64_t make_element(Graph *g, int64_t me) {
    int64_t most = g->length[me] - g->elements[me];
    for (int64_t k = 0; k < g->elements[me]; k++) most += g->length[g->lists[g->start[me] + k]];
    if (most > g->n) most = g->n;
    if (g->end + most > g->room) compact(g);
    int64_t first = g->end, degree = 0, from = g->start[me];
    for (int64_t k = 0; k < g->length[me]; k++) {
        int64_t other = g->lists[from + k];
        if (k >= g->elements[me]) {
            take_in(g, other, &degree);
            continue;
        }
        int64_t begin = g->start[other];
        for (int64_t q = 0; q < g->length[other]; q++) take_in(g, g->lists[begin + q], &degree);
        g->length[other] = 0;
        g->mark[other] = 0;
        g->parent[other] = me;
    }
    g->start[me] = first;
    g->length[me] = g->end - first;
    g->elements[me] = NONE;
    return degree;
}

/* order (n,): which row is eliminated first, second, ... Scratch: lists, entries + n + 1; work, 12 (n + 1). */
KERNEL(void, minimum_degree, (const int64_t *indptr, const int64_t *indices, int64_t *lists, int64_t *work,
                              int64_t *order, int64_t n, int64_t entries, int64_t room, int64_t scratch)) {
    (void)entries, (void)scratch;
    Graph g = {.n = n, .lists = lists, .room = room};
    int64_t **each[] = {&g.start, &g.length, &g.elements, &g.size, &g.degree, &g.head,
                        &g.next,  &g.last,   &g.mark,     &g.bucket, &g.parent};
    for (size_t k = 0; k < sizeof each / sizeof *each; k++, work += n + 1) *each[k] = work;
    int64_t *step = work;

    int64_t dense = 16;
    while (dense * dense < 100 * n) dense++; /* rows of so many entries come last: they are next to all the others */
    int64_t done = 0, steps = 0;
    for (int64_t i = 0; i < n; i++) {
        g.start[i] = g.end;
        for (int64_t p = indptr[i]; p < indptr[i + 1]; p++)
            if (indices[p] != i) g.lists[g.end++] = indices[p];
        g.length[i] = g.degree[i] = g.end - g.start[i];
        g.elements[i] = 0;
        g.size[i] = 1;
        g.mark[i] = 1;
        g.head[i] = g.bucket[i] = g.parent[i] = step[i] = NONE;
        if (g.degree[i] > dense) {
            g.size[i] = 0;
            g.end = g.start[i];
            g.length[i] = 0;
            done++;
        }
    }
    for (int64_t i = n - 1; i >= 0; i--)
        if (g.size[i]) link_variable(&g, i);
    int64_t least = 0, largest = 0, flag = 2;

    while (done < n) {
        while (g.head[least] == NONE) least++;
        int64_t me = g.head[least];
        unlink_variable(&g, me);
        int64_t pivots = g.size[me];
        g.size[me] = -pivots;
        int64_t degree = make_element(&g, me), first = g.start[me], end = g.end;
        done += pivots;
        step[me] = steps++;

        /* mark - flag of an element: how many of its variables are not in this one. */
        for (int64_t p = first; p < end; p++) {
            int64_t i = g.lists[p], size = -g.size[i], at = g.start[i];
            for (int64_t k = 0; k < g.elements[i]; k++) {
                int64_t e = g.lists[at + k];
                if (g.mark[e] >= flag) g.mark[e] -= size;
                else if (g.mark[e]) g.mark[e] = g.degree[e] + flag - size;
            }
        }
        for (int64_t p = first; p < end; p++) {
            int64_t i = g.lists[p], from = g.start[i], to = from, bound = 0;
            uint64_t hash = 0;
            for (int64_t k = 0; k < g.elements[i]; k++) {
                int64_t e = g.lists[from + k];
                if (!g.mark[e]) continue;
                int64_t apart = g.mark[e] - flag;
                if (apart > 0) {
                    bound += apart;
                    g.lists[to++] = e;
                    hash += (uint64_t)e;
                } else { /* all of it is in this one */
                    g.mark[e] = 0;
                    g.length[e] = 0;
                    g.parent[e] = me;
                }
            }
            int64_t middle = to, variables = g.elements[i];
            g.elements[i] = to - from + 1;
            for (int64_t k = variables; k < g.length[i]; k++) {
                int64_t j = g.lists[from + k];
                if (g.size[j] <= 0) continue;
                bound += g.size[j];
                g.lists[to++] = j;
                hash += (uint64_t)j;
            }
            if (to == from) { /* nothing else is next to it: it goes with this pivot */
                int64_t size = -g.size[i];
                g.parent[i] = me;
                degree -= size;
                pivots += size;
                done += size;
                g.size[i] = 0;
                g.length[i] = 0;
                continue;
            }
            if (bound < g.degree[i]) g.degree[i] = bound;
            g.lists[to] = g.lists[middle];
            g.lists[middle] = g.lists[from];
            g.lists[from] = me;
            g.length[i] = to - from + 1;
            hash %= (uint64_t)n;
            g.next[i] = g.bucket[hash];
            g.bucket[hash] = i;
            g.last[i] = (int64_t)hash;
        }
        g.degree[me] = degree;
        if (degree > largest) largest = degree;
        flag += largest + 1;

        /* Variables of the same lists are one from here on. */
        for (int64_t p = first; p < end; p++) {
            int64_t i = g.lists[p];
            if (g.size[i] >= 0) continue;
            int64_t hash = g.last[i];
            i = g.bucket[hash];
            g.bucket[hash] = NONE;
            for (; i != NONE && g.next[i] != NONE; i = g.next[i], flag++) {
                for (int64_t k = 1; k < g.length[i]; k++) g.mark[g.lists[g.start[i] + k]] = flag;
                int64_t before = i, j = g.next[i];
                while (j != NONE) {
                    int alike = g.length[j] == g.length[i] && g.elements[j] == g.elements[i];
                    for (int64_t k = 1; alike && k < g.length[j]; k++)
                        alike = g.mark[g.lists[g.start[j] + k]] == flag;
                    int64_t after = g.next[j];
                    if (alike) {
                        g.parent[j] = i;
                        g.size[i] += g.size[j];
                        g.size[j] = 0;
                        g.length[j] = 0;
                        g.next[before] = after;
                    } else before = j;
                    j = after;
                }
            }
        }
        int64_t to = first, left = n - done;
        for (int64_t p = first; p < end; p++) {
            int64_t i = g.lists[p], size = -g.size[i];
            if (size <= 0) continue;
            g.size[i] = size;
            int64_t bound = g.degree[i] + degree - size;
            g.degree[i] = bound < left - size ? bound : left - size;
            link_variable(&g, i);
            if (g.degree[i] < least) least = g.degree[i];
            g.lists[to++] = i;
        }
        g.end = to;
        g.length[me] = to - first;
        g.size[me] = 0; /* no variable any more */
        g.mark[me] = to > first;
    }

    /* Each row stands where the pivot does that took it in. */
    int64_t *count = g.head;
    memset(count, 0, (size_t)(n + 1) * sizeof(int64_t));
    for (int64_t i = 0; i < n; i++) {
        int64_t top = i;
        while (step[top] == NONE && g.parent[top] != NONE) top = g.parent[top];
        int64_t found = step[top] == NONE ? steps : step[top]; /* dense ones come last */
        for (int64_t k = i; k != top;) {
            int64_t up = g.parent[k];
            g.parent[k] = top;
            k = up;
        }
        g.last[i] = found;
    }
    for (int64_t i = 0; i < n; i++) count[g.last[i] + 1]++;
    for (int64_t k = 0; k < n; k++) count[k + 1] += count[k];
    for (int64_t i = 0; i < n; i++) order[count[g.last[i]]++] = i;
}

/* Columns of P A P^T that a climb from row j has not met, one by one: counts of L by the paths in the tree. */
static void elimination_tree(int64_t n, const int64_t *indptr, const int64_t *indices, const int64_t *order,
                             const int64_t *place, int64_t *parent, int64_t *top) {
    for (int64_t j = 0; j < n; j++) {
        parent[j] = top[j] = NONE;
        int64_t row = order[j];
        for (int64_t p = indptr[row]; p < indptr[row + 1]; p++) {
            int64_t i = place[indices[p]];
            while (i != NONE && i < j) {
                int64_t up = top[i];
                top[i] = j;
                if (up == NONE) parent[i] = j;
                i = up;
            }
        }
    }
}

/* Children before parents, one subtree behind the other. */
static void postorder(int64_t n, const int64_t *parent, int64_t *head, int64_t *next, int64_t *stack, int64_t *post) {
    for (int64_t j = 0; j < n; j++) head[j] = NONE;
    for (int64_t j = n - 1; j >= 0; j--)
        if (parent[j] != NONE) {
            next[j] = head[parent[j]];
            head[parent[j]] = j;
        }
    int64_t found = 0;
    for (int64_t root = 0; root < n; root++) {
        if (parent[root] != NONE) continue;
        int64_t depth = 0;
        stack[depth++] = root;
        while (depth) {
            int64_t j = stack[depth - 1];
            if (head[j] != NONE) {
                stack[depth++] = head[j];
                head[j] = next[head[j]];
            } else {
                post[found++] = j;
                depth--;
            }
        }
    }
}

static int worth(int64_t width, int64_t zeros, int64_t entries) {
    if (!zeros) return 1;
    return width <= 4 ? 10 * zeros <= 5 * entries : width <= 16 ? 10 * zeros <= entries : 25 * zeros <= entries;
}

/* order: made a postorder of the elimination tree, with place its inverse. starts (n + 1): first columns of the
   supernodes; below (n): rows that each has below its columns; count (1): how many there are. work: 5 n, scratch. */
KERNEL(void, find_supernodes, (const int64_t *indptr, const int64_t *indices, int64_t *order, int64_t *place,
                               int64_t *work, int64_t *starts, int64_t *below, int64_t *count, int64_t n,
                               int64_t entries, int64_t scratch)) {
    (void)entries, (void)scratch;
    int64_t *parent = work, *a = work + n, *b = work + 2 * n, *c = work + 3 * n, *post = work + 4 * n;
    for (int64_t k = 0; k < n; k++) place[order[k]] = k;
    elimination_tree(n, indptr, indices, order, place, parent, a);
    postorder(n, parent, a, b, c, post);
    for (int64_t k = 0; k < n; k++) a[k] = order[post[k]];
    for (int64_t k = 0; k < n; k++) b[post[k]] = k;
    for (int64_t k = 0; k < n; k++) c[b[k]] = parent[k] == NONE ? NONE : b[parent[k]];
    memcpy(parent, c, (size_t)n * sizeof(int64_t));
    for (int64_t k = 0; k < n; k++) {
        order[k] = a[k];
        place[a[k]] = k;
    }
    int64_t *counts = b, *mark = c; /* rows below the diagonal of each column */
    for (int64_t j = 0; j < n; j++) {
        counts[j] = 0;
        mark[j] = j;
        int64_t row = order[j];
        for (int64_t p = indptr[row]; p < indptr[row + 1]; p++)
            for (int64_t i = place[indices[p]]; i < j && mark[i] != j; i = parent[i]) {
                counts[i]++;
                mark[i] = j;
            }
    }
    /* Stored zeros that joining brings are taken where they are few. */
    int64_t found = 0, *zeros = a;
    for (int64_t j = 0; j < n; j++) {
        starts[found] = j;
        below[found] = counts[j];
        zeros[found] = 0;
        while (found) {
            int64_t before = found - 1, width = starts[found] - starts[before], own = j + 1 - starts[found];
            int64_t up = parent[starts[found] - 1];
            if (up == NONE || up > j || width + own > WIDEST) break;
            int64_t added = width * (own + below[found] - below[before]);
            int64_t all = zeros[before] + zeros[found] + added, wide = width + own;
            if (!worth(wide, all, wide * (wide + 1) / 2 + wide * below[found])) break;
            below[before] = below[found];
            zeros[before] = all;
            found--;
        }
        found++;
    }
    starts[found] = n;
    *count = found;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* rows: of every supernode those below its columns, rising; parent: the supernode of the first of them, or -1.
   stacks (2): doubles that `factorise_supernodes` and `invert_selected` take as scratch. work: 2 n + 3 count, scratch. */
KERNEL(void, fill_supernodes, (const int64_t *indptr, const int64_t *indices, const int64_t *order,
                               const int64_t *place, const int64_t *starts, const int64_t *row_starts, int64_t *work,
                               int64_t *rows, int64_t *parent, int64_t *stacks, int64_t n, int64_t entries,
                               int64_t count, int64_t scratch, int64_t lower)) {
    (void)entries, (void)scratch, (void)lower;
    int64_t *mark = work, *owner = work + n, *head = work + 2 * n, *next = head + count, *stack = next + count;
    for (int64_t s = 0; s < count; s++) {
        head[s] = NONE;
        for (int64_t j = starts[s]; j < starts[s + 1]; j++) {
            mark[j] = NONE;
            owner[j] = s;
        }
    }
    for (int64_t s = 0; s < count; s++) {
        int64_t last = starts[s + 1], end = row_starts[s];
        for (int64_t j = starts[s]; j < last; j++)
            for (int64_t p = indptr[order[j]]; p < indptr[order[j] + 1]; p++) {
                int64_t i = place[indices[p]];
                if (i >= last && mark[i] != s) {
                    mark[i] = s;
                    rows[end++] = i;
                }
            }
        for (int64_t c = head[s]; c != NONE; c = next[c])
            for (int64_t p = row_starts[c]; p < row_starts[c + 1]; p++) {
                int64_t i = rows[p];
                if (i >= last && mark[i] != s) {
                    mark[i] = s;
                    rows[end++] = i;
                }
            }
        qsort(rows + row_starts[s], (size_t)(end - row_starts[s]), sizeof(int64_t), compare);
        parent[s] = NONE;
        if (end > row_starts[s]) {
            int64_t up = owner[rows[row_starts[s]]];
            parent[s] = up;
            next[s] = head[up];
            head[up] = s;
        }
    }
    /* Stacks: updates of children until their parent takes them; of the inverse, blocks until the first child has. */
    int64_t used = 0, most = 0, depth = 0, tallest = 0;
    for (int64_t s = 0; s < count; s++) {
        int64_t r = row_starts[s + 1] - row_starts[s], m = starts[s + 1] - starts[s] + r;
        if (m > tallest) tallest = m;
        if (used + r * r > most) most = used + r * r;
        while (depth && parent[stack[depth - 1]] == s) {
            int64_t c = stack[--depth], below = row_starts[c + 1] - row_starts[c];
            used -= below * below;
        }
        stack[depth++] = s;
        used += r * r;
    }
    stacks[0] = most + (2 * tallest + 16) * WIDEST;
    int64_t *children = mark;
    memset(children, 0, (size_t)count * sizeof(int64_t));
    for (int64_t s = 0; s < count; s++)
        if (parent[s] != NONE) children[parent[s]]++;
    used = most = 0;
    for (int64_t s = count - 1; s >= 0; s--) {
        int64_t up = parent[s];
        if (up != NONE && !--children[up]) {
            int64_t m = starts[up + 1] - starts[up] + row_starts[up + 1] - row_starts[up];
            used -= m * m;
        }
        if (children[s]) {
            int64_t m = starts[s + 1] - starts[s] + row_starts[s + 1] - row_starts[s];
            used += m * m;
        }
        if (used > most) most = used;
    }
    stacks[1] = most + tallest * tallest + 2 * tallest * (WIDEST + TALL) + 16 * WIDEST;
}

/* C (m, n; by columns) -= A B, with A_ik at a[i ai + k ak] and B_kj at b[k bk + j bj], times scale[k] where that is
   given; `lower`: of C only what is not above its diagonal need be right. Sums over rising k. packed: (m + n + 16) K. */
static void subtract_product(int64_t m, int64_t n, int64_t K, const double *a, int64_t ai, int64_t ak, const double *b,
                             int64_t bk, int64_t bj, const double *scale, double *C, int64_t ldc, int lower,
                             double *packed) {
    double *tall = packed, *wide = packed + TALL * K;
    for (int64_t j = 0; j < n; j += WIDE)
        for (int64_t k = 0; k < K; k++)
            for (int64_t q = 0; q < WIDE; q++) {
                double value = j + q < n ? b[k * bk + (j + q) * bj] : 0.0;
                wide[j * K + k * WIDE + q] = scale ? -value * scale[k] : -value;
            }
    for (int64_t i = 0; i < m; i += TALL) {
        int64_t high = m - i < TALL ? m - i : TALL;
        for (int64_t k = 0; k < K; k++)
            for (int64_t q = 0; q < TALL; q++) tall[k * TALL + q] = q < high ? a[(i + q) * ai + k * ak] : 0.0;
        int64_t until = lower && i + TALL < n ? i + TALL : n;
        for (int64_t j = 0; j < until; j += WIDE) {
            double sum[WIDE][TALL];
            int64_t broad = n - j < WIDE ? n - j : WIDE;
            for (int q = 0; q < WIDE; q++)
                for (int p = 0; p < TALL; p++) sum[q][p] = q < broad && p < high ? C[i + p + (j + q) * ldc] : 0.0;
            const double *u = tall, *v = wide + j * K;
            for (int64_t k = 0; k < K; k++, u += TALL, v += WIDE)
                for (int q = 0; q < WIDE; q++)
                    for (int p = 0; p < TALL; p++) sum[q][p] = fma(u[p], v[q], sum[q][p]);
            for (int q = 0; q < broad; q++)
                for (int p = 0; p < high; p++) C[i + p + (j + q) * ldc] = sum[q][p];
        }
    }
}

/* values: panels, those of supernode s from value_starts[s] on; below the unit diagonal they hold L, above it nothing.
   pivots: D. failed (1): 0, or 1 + the column of a pivot that is 0 or not finite, where it ended. Scratch: work,
   n + 2 count; stack. */
KERNEL(void, factorise_supernodes, (const int64_t *indptr, const int64_t *indices, const double *data, const int64_t *order,
                         const int64_t *place, const int64_t *starts, const int64_t *row_starts, const int64_t *rows,
                         const int64_t *value_starts, const int64_t *parent, int64_t *work, double *stack,
                         double *values, double *pivots, int64_t *failed, int64_t n, int64_t entries, int64_t count,
                         int64_t lower, int64_t scratch, int64_t waits, int64_t stored)) {
    (void)entries, (void)lower, (void)scratch, (void)stored;
    int64_t tallest = 0;
    for (int64_t s = 0; s < count; s++) {
        int64_t m = starts[s + 1] - starts[s] + row_starts[s + 1] - row_starts[s];
        if (m > tallest) tallest = m;
    }
    int64_t *where = work;
    double *packed = stack + waits - (2 * tallest + 16) * WIDEST;
    int64_t *waiting = where + n, *base = waiting + count, depth = 0, used = 0;
    *failed = 0;
    for (int64_t s = 0; s < count; s++) {
        int64_t first = starts[s], w = starts[s + 1] - first, r = row_starts[s + 1] - row_starts[s], m = w + r;
        const int64_t *low = rows + row_starts[s];
        double *panel = values + value_starts[s], *update = stack + used;
        memset(panel, 0, (size_t)(m * w) * sizeof(double));
        memset(update, 0, (size_t)(r * r) * sizeof(double));
        for (int64_t k = 0; k < w; k++) where[first + k] = k;
        for (int64_t k = 0; k < r; k++) where[low[k]] = w + k;
        for (int64_t k = 0; k < w; k++)
            for (int64_t p = indptr[order[first + k]]; p < indptr[order[first + k] + 1]; p++) {
                int64_t i = place[indices[p]];
                if (i >= first + k) panel[where[i] + k * m] += data[p];
            }
        int64_t oldest = used;
        while (depth && parent[waiting[depth - 1]] == s) {
            int64_t c = waiting[--depth], below = row_starts[c + 1] - row_starts[c];
            const int64_t *theirs = rows + row_starts[c];
            const double *given = stack + base[depth];
            oldest = base[depth];
            for (int64_t k = 0; k < below; k++) {
                int64_t to = where[theirs[k]];
                double *column = to < w ? panel + to * m : update + (to - w) * r - w;
                for (int64_t i = k; i < below; i++) column[where[theirs[i]]] += given[i + k * below];
            }
        }
        for (int64_t k = 0; k < w; k++) {
            double *column = panel + k * m, pivot = column[k];
            for (int64_t q = 0; q < k; q++) {
                const double *other = panel + q * m;
                double factor = -other[k] * pivots[first + q];
                for (int64_t i = k; i < m; i++) column[i] = fma(other[i], factor, column[i]);
            }
            pivot = column[k];
            pivots[first + k] = pivot;
            if (pivot == 0.0 || !isfinite(pivot)) {
                *failed = 1 + first + k;
                return;
            }
            double inverse = 1.0 / pivot;
            for (int64_t i = k + 1; i < m; i++) column[i] *= inverse;
        }
        if (r) {
            subtract_product(r, r, w, panel + w, 1, m, panel + w, m, 1, pivots + first, update, r, 1, packed);
            memmove(stack + oldest, update, (size_t)(r * r) * sizeof(double));
        }
        waiting[depth] = s;
        base[depth++] = oldest;
        used = oldest + r * r;
    }
}

/* Columns b..b + wide of x, which a supernode's rows take at a time: as many as registers hold. */
#define SIDE_BY_SIDE 8

INLINE void lower_rows(int64_t wide, int64_t k, int64_t w, int64_t m,
                                                             const double *panel, const double *own, double *x,
                                                             const int64_t *low, int64_t r) {
    int64_t i = 0;
    for (; i + 4 <= r; i += 4) {
        double sum[4][SIDE_BY_SIDE];
        for (int64_t p = 0; p < 4; p++)
            for (int64_t b = 0; b < wide; b++) sum[p][b] = x[low[i + p] * k + b];
        for (int64_t q = 0; q < w; q++)
            for (int64_t p = 0; p < 4; p++)
                for (int64_t b = 0; b < wide; b++) sum[p][b] = fma(-panel[i + p + q * m], own[q * k + b], sum[p][b]);
        for (int64_t p = 0; p < 4; p++)
            for (int64_t b = 0; b < wide; b++) x[low[i + p] * k + b] = sum[p][b];
    }
    for (; i < r; i++)
        for (int64_t q = 0; q < w; q++)
            for (int64_t b = 0; b < wide; b++) x[low[i] * k + b] = fma(-panel[i + q * m], own[q * k + b], x[low[i] * k + b]);
}

INLINE void upper_rows(int64_t wide, int64_t k, int64_t w, int64_t m,
                                                             const double *panel, double *own, const double *x,
                                                             const int64_t *low, int64_t r) {
    int64_t q = 0;
    for (; q + 4 <= w; q += 4) {
        double sum[4][SIDE_BY_SIDE];
        for (int64_t p = 0; p < 4; p++)
            for (int64_t b = 0; b < wide; b++) sum[p][b] = own[(q + p) * k + b];
        for (int64_t i = 0; i < r; i++)
            for (int64_t p = 0; p < 4; p++)
                for (int64_t b = 0; b < wide; b++)
                    sum[p][b] = fma(-panel[i + (q + p) * m], x[low[i] * k + b], sum[p][b]);
        for (int64_t p = 0; p < 4; p++)
            for (int64_t b = 0; b < wide; b++) own[(q + p) * k + b] = sum[p][b];
    }
    for (; q < w; q++)
        for (int64_t b = 0; b < wide; b++) {
            double sum = own[q * k + b];
            for (int64_t i = 0; i < r; i++) sum = fma(-panel[i + q * m], x[low[i] * k + b], sum);
            own[q * k + b] = sum;
        }
}

/* Solve L y = x in place, x (n, k) in the order of P. */
KERNEL(void, solve_lower, (const int64_t *starts, const int64_t *row_starts, const int64_t *rows,
                           const int64_t *value_starts, const double *values, double *x, int64_t count, int64_t lower,
                           int64_t stored, int64_t n, int64_t k)) {
    (void)lower, (void)stored, (void)n;
    for (int64_t s = 0; s < count; s++) {
        int64_t first = starts[s], w = starts[s + 1] - first, r = row_starts[s + 1] - row_starts[s], m = w + r, b = 0;
        const int64_t *low = rows + row_starts[s];
        const double *panel = values + value_starts[s];
        double *own = x + first * k;
        for (int64_t q = 0; q < w; q++)
            for (int64_t i = q + 1; i < w; i++)
                for (int64_t c = 0; c < k; c++) own[i * k + c] = fma(-panel[i + q * m], own[q * k + c], own[i * k + c]);
        for (; b + SIDE_BY_SIDE <= k; b += SIDE_BY_SIDE)
            lower_rows(SIDE_BY_SIDE, k, w, m, panel + w, own + b, x + b, low, r);
        for (; b < k; b++) lower_rows(1, k, w, m, panel + w, own + b, x + b, low, r);
    }
}

/* Solve L^T y = x in place, x (n, k) in the order of P. */
KERNEL(void, solve_upper, (const int64_t *starts, const int64_t *row_starts, const int64_t *rows,
                           const int64_t *value_starts, const double *values, double *x, int64_t count, int64_t lower,
                           int64_t stored, int64_t n, int64_t k)) {
    (void)lower, (void)stored, (void)n;
    for (int64_t s = count - 1; s >= 0; s--) {
        int64_t first = starts[s], w = starts[s + 1] - first, r = row_starts[s + 1] - row_starts[s], m = w + r, b = 0;
        const int64_t *low = rows + row_starts[s];
        const double *panel = values + value_starts[s];
        double *own = x + first * k;
        for (; b + SIDE_BY_SIDE <= k; b += SIDE_BY_SIDE)
            upper_rows(SIDE_BY_SIDE, k, w, m, panel + w, own + b, x + b, low, r);
        for (; b < k; b++) upper_rows(1, k, w, m, panel + w, own + b, x + b, low, r);
        for (int64_t q = w - 1; q >= 0; q--)
            for (int64_t i = q + 1; i < w; i++)
                for (int64_t c = 0; c < k; c++) own[q * k + c] = fma(-panel[i + q * m], own[i * k + c], own[q * k + c]);
    }
}

/* found: of A^-1 the entries at the places of A's (symmetric in its pattern, columns rising). From the root of the tree
   to its leaves: the inverse on the rows of a supernode is part of that on its parent's columns and rows. Scratch:
   work, 2 n + 3 count; stack. */
KERNEL(void, invert_selected, (const int64_t *indptr, const int64_t *indices, const int64_t *order,
                               const int64_t *place, const int64_t *starts, const int64_t *row_starts,
                               const int64_t *rows, const int64_t *value_starts, const int64_t *parent,
                               const double *values, const double *pivots, int64_t *work, double *stack,
                               double *found, int64_t n, int64_t entries, int64_t count, int64_t lower,
                               int64_t stored, int64_t scratch, int64_t waits)) {
    (void)entries, (void)lower, (void)stored, (void)scratch;
    int64_t tallest = 0;
    for (int64_t s = 0; s < count; s++) {
        int64_t m = starts[s + 1] - starts[s] + row_starts[s + 1] - row_starts[s];
        if (m > tallest) tallest = m;
    }
    int64_t *where = work;
    int64_t *at = where + n, *open = at + n, *base = open + count, *children = base + count, depth = 0, used = 0;
    double *packed = stack + waits - 2 * tallest * (WIDEST + TALL) - 16 * WIDEST, *corner = packed - tallest * tallest;
    memset(children, 0, (size_t)count * sizeof(int64_t));
    for (int64_t s = 0; s < count; s++)
        if (parent[s] != NONE) children[parent[s]]++;
    for (int64_t s = count - 1; s >= 0; s--) {
        int64_t first = starts[s], w = starts[s + 1] - first, r = row_starts[s + 1] - row_starts[s], m = w + r, up;
        const int64_t *low = rows + row_starts[s];
        const double *panel = values + value_starts[s];
        while (depth && open[depth - 1] != parent[s]) used = base[--depth];
        if (r) { /* what its parent knows of its rows */
            up = parent[s];
            int64_t wide = starts[up + 1] - starts[up], all = wide + row_starts[up + 1] - row_starts[up], k = 0;
            const int64_t *theirs = rows + row_starts[up];
            for (int64_t i = 0; i < r; i++) {
                if (low[i] < starts[up + 1]) at[i] = low[i] - starts[up];
                else {
                    while (theirs[k] != low[i]) k++;
                    at[i] = wide + k;
                }
            }
            const double *from = stack + base[depth - 1];
            for (int64_t j = 0; j < r; j++)
                for (int64_t i = 0; i < r; i++) corner[(w + i) + (w + j) * m] = from[at[i] + at[j] * all];
            if (!--children[up]) used = base[--depth];
        }
        /* Z_low = -Z_corner L_low, then times the inverse of the unit triangle; Z_own the same way, and symmetric. */
        for (int64_t j = 0; j < w; j++) memset(corner + j * m, 0, (size_t)m * sizeof(double));
        if (r)
            subtract_product(r, w, r, corner + w + w * m, 1, m, panel + w, 1, m, NULL, corner + w, m, 0, packed);
        for (int64_t j = w - 1; j >= 0; j--)
            for (int64_t q = j + 1; q < w; q++) {
                double factor = -panel[q + j * m];
                for (int64_t i = w; i < m; i++) corner[i + j * m] = fma(corner[i + q * m], factor, corner[i + j * m]);
            }
        if (r) subtract_product(w, w, r, corner + w, m, 1, panel + w, 1, m, NULL, corner, m, 1, packed);
        for (int64_t j = w - 1; j >= 0; j--) {
            for (int64_t q = j + 1; q < w; q++) {
                double factor = -panel[q + j * m];
                for (int64_t i = j + 1; i < w; i++) {
                    double other = i >= q ? corner[i + q * m] : corner[q + i * m];
                    corner[i + j * m] = fma(other, factor, corner[i + j * m]);
                }
            }
            for (int64_t q = j + 1; q < w; q++)
                corner[j + j * m] = fma(-panel[q + j * m], corner[q + j * m], corner[j + j * m]);
            corner[j + j * m] += 1.0 / pivots[first + j];
        }
        for (int64_t k = 0; k < w; k++) where[first + k] = k;
        for (int64_t k = 0; k < r; k++) where[low[k]] = w + k;
        for (int64_t k = 0; k < w; k++)
            for (int64_t p = indptr[order[first + k]]; p < indptr[order[first + k] + 1]; p++) {
                int64_t i = place[indices[p]];
                if (i >= first + k) found[p] = corner[where[i] + k * m];
            }
        if (children[s]) { /* whole, for them */
            double *whole = stack + used;
            for (int64_t j = 0; j < m; j++)
                for (int64_t i = 0; i < m; i++)
                    whole[i + j * m] = i >= j || j >= w ? (j >= w && i < w ? corner[j + i * m] : corner[i + j * m])
                                                        : corner[j + i * m];
            open[depth] = s;
            base[depth++] = used;
            used += m * m;
        }
    }
    /* The other half: rows in rising order meet the entries across in rising order. */
    int64_t *next = where;
    memcpy(next, indptr, (size_t)n * sizeof(int64_t));
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = indptr[i]; p < indptr[i + 1]; p++) {
            int64_t j = indices[p], across = next[j]++;
            if (place[j] > place[i]) found[across] = found[p];
        }
}
