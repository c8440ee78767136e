//go:build go1.21

package main

import "context"

func afterFunc(ctx context.Context, f func()) func() bool { return context.AfterFunc(ctx, f) }
