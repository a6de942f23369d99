// The arithmetic of the U-Net, for WebAssembly with SIMD. engine.js calls it, and holds the network's plan.
//
// A feature map is planes of floats, (channels, height, width). A convolution by 3x3 reads a padded copy of its input, with a
// border of zeros. Four output channels and eight pixels are computed at a time, in eight registers. Where a row is not a
// multiple of eight long, the rest of the registers computes on what follows in memory, and is not stored.

typedef float f4 __attribute__((vector_size(16)));
typedef int i4 __attribute__((vector_size(16)));
typedef f4 unaligned __attribute__((aligned(4)));

#define INLINE static inline __attribute__((always_inline))
#define EXPORT(name) __attribute__((export_name(#name)))

INLINE f4 load(const float *p) { return *(const unaligned *)p; }
INLINE void store(float *p, f4 x) { *(unaligned *)p = x; }
INLINE f4 splat(float x) { return (f4){x, x, x, x}; }
INLINE f4 even(const float *p) { return __builtin_shufflevector(load(p), load(p + 4), 0, 2, 4, 6); }

INLINE f4 fma4(f4 a, f4 b, f4 c) {
#ifdef __wasm_relaxed_simd__
    return __builtin_wasm_relaxed_madd_f32x4(a, b, c);  // one instruction where the machine has one
#else
    return a * b + c;
#endif
}

// e^x, to 2e-7: 2^n by its bits, times a polynomial for the rest (Cephes' expf).
INLINE f4 exp4(f4 x) {
    x = __builtin_wasm_max_f32x4(splat(-87.0f), __builtin_wasm_min_f32x4(splat(88.0f), x));
    f4 n = __builtin_wasm_nearest_f32x4(x * splat(1.44269504f));
    x = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    f4 p = splat(1.9875691500e-4f);
    p = p * x + splat(1.3981999507e-3f);
    p = p * x + splat(8.3334519073e-3f);
    p = p * x + splat(4.1665795894e-2f);
    p = p * x + splat(1.6666665459e-1f);
    p = p * x + splat(5.0000001201e-1f);
    i4 power = (__builtin_convertvector(n, i4) + 127) << 23;
    return (p * x * x + x + splat(1.0f)) * (f4)power;
}

// out (co, h, w) = bias + weight * in, or out + bias + weight * in with `add`. weight: (co, ci, k, k), its rows `weights` apart.
// in_plane, out_plane: from one channel to the next; in_row: from one row of the input to the next.
INLINE void convolve(float *out, const float *in, const float *weight, const float *bias, int ci, int co, int h, int w, int weights,
                     int in_plane, int in_row, int out_plane, int add, int k, int stride) {
    for (int o = 0; o < co; o += 4) {
        const float *rows[4];
        for (int j = 0; j < 4; j++) rows[j] = weight + (o + j < co ? o + j : co - 1) * weights;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x += 8) {
                f4 sum[4][2] = {};
                for (int c = 0; c < ci; c++) {
                    for (int tap = 0; tap < k * k; tap++) {
                        const float *p = in + c * in_plane + (y * stride + tap / k) * in_row + x * stride + tap % k;
                        f4 left = stride == 2 ? even(p) : load(p), right = stride == 2 ? even(p + 8) : load(p + 4);
                        for (int j = 0; j < 4; j++) {
                            f4 factor = splat(rows[j][c * k * k + tap]);
                            sum[j][0] = fma4(factor, left, sum[j][0]);
                            sum[j][1] = fma4(factor, right, sum[j][1]);
                        }
                    }
                }
                for (int j = 0; j < 4 && o + j < co; j++) {
                    float *to = out + (o + j) * out_plane + y * w + x;
                    for (int half = 0; half < 2; half++) {
                        f4 value = sum[j][half] + splat(bias ? bias[o + j] : 0.0f);
                        if (x + 4 * half + 4 <= w) {
                            store(to + 4 * half, add ? load(to + 4 * half) + value : value);
                        } else {
                            for (int i = 0; x + 4 * half + i < w; i++) to[4 * half + i] = (add ? to[4 * half + i] : 0) + value[i];
                        }
                    }
                }
            }
        }
    }
}

// A convolution by 3x3 of a padded input (ci, stride * h + 2, stride * w + 2), with stride 1 or 2.
EXPORT(conv3) void conv3(float *out, const float *in, const float *weight, const float *bias, int ci, int co, int h, int w,
                         int weights, int stride, int add) {
    int row = stride * w + 2, plane = (stride * h + 2) * row;
    if (stride == 2) convolve(out, in, weight, bias, ci, co, h, w, weights, plane, row, h * w, add, 3, 2);
    else convolve(out, in, weight, bias, ci, co, h, w, weights, plane, row, h * w, add, 3, 1);
}

// A product of matrices, which a convolution by 1x1 is: out (co, n) = bias + weight (co, ci) in (ci, n).
EXPORT(matmul) void matmul(float *out, const float *in, const float *weight, const float *bias, int ci, int co, int n, int in_plane,
                           int out_plane, int add) {
    convolve(out, in, weight, bias, ci, co, 1, n, ci, in_plane, 0, out_plane, add, 1, 1);
}

// out (c, zoom * h + 2, zoom * w + 2): the input (c, h, w) in a border of zeros, each pixel repeated zoom x zoom times.
EXPORT(pad) void pad(float *out, const float *in, int c, int h, int w, int zoom) {
    int height = zoom * h + 2, width = zoom * w + 2;
    for (int i = 0; i < c * height * width; i++) out[i] = 0;
    for (int y = 0; y < c * zoom * h; y++) {
        float *to = out + (y / (zoom * h) * height + y % (zoom * h) + 1) * width + 1;
        const float *from = in + y / zoom * w;
        for (int x = 0; x < zoom * w; x++) to[x] = from[x / zoom];
    }
}

// A group norm, eight channels a group, of (c, n); then, with `modulate` (2 c), x (1 + scale) + shift; then SiLU, if asked for.
EXPORT(norm) void norm(float *out, const float *in, const float *weight, const float *bias, const float *modulate, int c, int n, int silu) {
    for (int first = 0; first < c; first += 8) {
        const float *group = in + first * n;
        f4 sum = splat(0), squares = splat(0);
        for (int i = 0; i < 8 * n; i += 4) sum += load(group + i);
        float mean = (sum[0] + sum[1] + sum[2] + sum[3]) / (8 * n);
        for (int i = 0; i < 8 * n; i += 4) {
            f4 d = load(group + i) - splat(mean);
            squares += d * d;
        }
        float inverse = 1 / __builtin_sqrtf((squares[0] + squares[1] + squares[2] + squares[3]) / (8 * n) + 1e-5f);
        for (int j = first; j < first + 8; j++) {
            float factor = weight[j] * inverse, offset = bias[j] - mean * factor;
            if (modulate) {
                factor *= 1 + modulate[j];
                offset = offset * (1 + modulate[j]) + modulate[c + j];
            }
            for (int i = 0; i < n; i += 4) {  // may write beyond the channel's end, into the next one, which comes later
                f4 value = load(in + j * n + i) * splat(factor) + splat(offset);
                store(out + j * n + i, silu ? value / (splat(1) + exp4(-value)) : value);
            }
        }
    }
}

// The softmax over the rows of (n, plane), in place: each column becomes a distribution. plane is a multiple of four.
EXPORT(softmax) void softmax(float *s, int n, int plane) {
    for (int x = 0; x < plane; x += 4) {
        f4 most = load(s + x), sum = splat(0);
        for (int y = 1; y < n; y++) most = __builtin_wasm_max_f32x4(most, load(s + y * plane + x));
        for (int y = 0; y < n; y++) {
            f4 e = exp4(load(s + y * plane + x) - most);
            store(s + y * plane + x, e);
            sum += e;
        }
        for (int y = 0; y < n; y++) store(s + y * plane + x, load(s + y * plane + x) / sum);
    }
}

// out (w, h) = the transpose of (h, w), times a factor.
EXPORT(transpose) void transpose(float *out, const float *in, int h, int w, float factor) {
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) out[x * h + y] = in[y * w + x] * factor;
}
