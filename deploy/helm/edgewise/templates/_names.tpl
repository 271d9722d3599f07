{{/* Names, labels and what several pods share. */}}

{{- define "edgewise.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "edgewise.selector" -}}
app.kubernetes.io/name: edgewise
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "edgewise.labels" -}}
{{ include "edgewise.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "edgewise.image" -}}
{{- with .root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end }}edgewise-{{ .role }}:{{ .root.Values.images.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "edgewise.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "edgewise.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "edgewise.serversSecret" -}}
{{- .Values.servers.existingSecret | default (printf "%s-servers" (include "edgewise.name" .)) }}
{{- end }}

{{- define "edgewise.keysSecret" -}}
{{- .Values.firstKeys.existingSecret | default (printf "%s-first-keys" (include "edgewise.name" .)) }}
{{- end }}

{{- define "edgewise.url" -}}
{{- if .Values.control.publicBaseUrl }}{{ .Values.control.publicBaseUrl }}
{{- else if .Values.ingress.enabled }}https://{{ .Values.ingress.host }}
{{- else }}http://{{ include "edgewise.name" . }}-control.{{ .Release.Namespace }}:{{ .Values.service.port }}{{ end }}
{{- end }}

{{- define "edgewise.podStart" -}}
serviceAccountName: {{ include "edgewise.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "edgewise.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "edgewise.affinity" -}}
affinity:
{{- if .own }}
  {{- toYaml .own | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "edgewise.selector" . | nindent 14 }}
{{- end }}
{{- end }}
